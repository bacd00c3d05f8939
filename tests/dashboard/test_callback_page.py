"""The page of a callback URL in a browser: people answer by its buttons, and other pages may post."""

import pytest
from playwright.sync_api import Page, expect

from answering import Answering
from dashboard.stage import Api


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_person_answers_by_the_buttons(api: Api, page: Page, *, is_approved: bool) -> None:
    event = api.start("", "k", wait=False, kind="event", stepName="the <b>offer</b>")
    url = event["callbackUrl"]

    page.goto(url)
    expect(page.get_by_role("heading")).to_have_text("the <b>offer</b>")
    if is_approved:
        page.get_by_role("button", name="Approve").click()
    else:
        page.get_by_label("Reason").fill("too dear")
        page.get_by_role("button", name="Reject").click()

    expect(page.get_by_text("It was answered." if is_approved else "It was rejected.")).to_be_visible()
    assert page.url == url
    step = api.get(f"/steps/{event['id']}")
    assert step["response"] == ({"approved": True} if is_approved else {"detail": "too dear"})


def test_a_page_of_another_server_posts(api: Api, page: Page) -> None:
    url = api.start("", "k", wait=False, kind="event", stepName="form")["callbackUrl"]
    shop = Answering(lambda _path, _body: (200, b"shop"))
    try:
        page.goto(shop.url)
        told = page.evaluate(
            """url => fetch(url, {method: "POST", headers: {"Content-Type": "application/json"}, body: "7"})
                .then(answer => answer.json())""",
            url,
        )
    finally:
        shop.close()

    assert told == {"status": "succeeded"}
