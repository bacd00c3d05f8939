"""Open events: found, answered, rejected, and counted."""

import re
from typing import Any

from playwright.sync_api import Page, Route, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at

# Longer than what JavaScript keeps of a number.
BIG = 123456789012345678


def waits(api: Api, endpoints: Endpoints, key: str, name: str, **more: Any) -> str:
    """A run that waits for an event; the id of the event."""
    retry = {"count": 9, "backOff": 600_000, "jitter": "none"}
    url = endpoints.serve("/busy", (503, 0))
    run = api.start(url, key, workflow="refund", wait=False, retry=retry, payload={"order": f"of-{key}"})
    event = api.start(
        "", key, workflow="refund", parent=run["id"], wait=False, kind="event", stepName=name, **more
    )
    return str(event["id"])


def test_an_event_is_approved(page: Page, api: Api, endpoints: Endpoints) -> None:
    event = waits(api, endpoints, "r-1", "approval", deadline=7_200_000)
    waits(api, endpoints, "r-2", "signature", payload={"page": 7})
    open_at(page, api, "runs")
    page.get_by_role("link", name="Waiting 2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for you")
    card = page.get_by_role("listitem").filter(has_text="approval")
    expect(card).to_contain_text("expires in 1 h 59 min")
    # An event without a payload shows what its run is about.
    expect(card).to_contain_text("of-r-1")
    expect(page.get_by_role("listitem").filter(has_text="signature")).to_contain_text('"page": 7')

    card.get_by_role("button", name="Approve…").click()
    dialog = page.get_by_role("dialog", name="Approve “approval”?")
    expect(dialog).to_contain_text("key r-1")
    expect(dialog).to_contain_text("of-r-1")
    dialog.get_by_role("button", name="Approve").click()

    expect(page.get_by_role("status").filter(has_text="Approved.")).to_be_visible()
    expect(card).to_have_count(0)
    expect(page.get_by_role("link", name="Waiting 1")).to_be_visible()
    assert api.get(f"/steps/{event}")["response"] == {"approved": True}


def test_the_soonest_deadline_is_first(page: Page, api: Api, endpoints: Endpoints) -> None:
    waits(api, endpoints, "r-1", "soon", deadline=3_600_000)
    waits(api, endpoints, "r-2", "old without")
    waits(api, endpoints, "r-3", "late", deadline=7_200_000)
    waits(api, endpoints, "r-4", "new without")
    waits(api, endpoints, "r-5", "sooner", deadline=1_800_000)
    open_at(page, api, "waiting")
    names = page.locator(".event h2")
    expect(names).to_have_text(["sooner", "soon", "late", "old without", "new without"])
    pager = page.get_by_role("navigation", name="Pages")
    expect(pager).to_contain_text("The soonest deadline first, then those without one, the oldest first")
    for number in range(6, 13):
        waits(api, endpoints, f"r-{number}", f"of {number}", deadline=3_600_000 * number)
    page.reload()
    expect(names).to_have_count(10)
    # The first two runs are on another page, one of which has an event that ends before most of these.
    others = [f"of {number}" for number in range(6, 13)]
    expect(names).to_have_text(["sooner", "late", *others, "new without"])
    expect(pager).to_contain_text("By deadline among the events of this page.")


def test_an_event_is_rejected_for_a_reason(page: Page, api: Api, endpoints: Endpoints) -> None:
    event = waits(api, endpoints, "r-1", "approval")
    open_at(page, api, "waiting")
    page.get_by_role("button", name="Reject…").click()
    dialog = page.get_by_role("dialog", name="Reject “approval”?")
    expect(dialog.get_by_role("button", name="Reject")).to_be_disabled()
    dialog.get_by_label("Reason").fill("over the limit")
    dialog.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    assert api.get(f"/steps/{event}")["response"] == {"detail": "over the limit"}


def test_a_result_is_sent_as_it_is_typed(page: Page, api: Api, endpoints: Endpoints) -> None:
    event = waits(api, endpoints, "r-1", "amount")
    open_at(page, api, "waiting")
    page.get_by_role("button", name="Send JSON…").click()
    dialog = page.get_by_role("dialog", name="Send a result to “amount”")
    dialog.get_by_label("Result, as JSON").fill("{not json")
    expect(dialog.get_by_role("button", name="Send")).to_be_disabled()
    dialog.get_by_label("Result, as JSON").fill(f'{{"cents": {BIG}}}')
    dialog.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status").filter(has_text="The result is sent.")).to_be_visible()
    assert api.get(f"/steps/{event}")["response"] == {"cents": BIG}


def test_an_answer_that_is_refused_says_so_in_the_dialog(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    waits(api, endpoints, "r-1", "amount")
    open_at(page, api, "waiting")
    page.get_by_role("button", name="Send JSON…").click()
    dialog = page.get_by_role("dialog")
    # The page takes it for JSON, and the server cannot store it.
    dialog.get_by_label("Result, as JSON").fill('{"a": 1, "a": 2}')
    dialog.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("body")


def test_an_event_behind_many_steps_is_found_or_its_run_is_named(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    """The server is asked for 2 steps at a time, so that a page of 1,000 is one of 2 here."""

    def by_two(route: Route) -> None:
        route.continue_(url=route.request.url.replace("limit=1000", "limit=2"))

    page.route("**/runs/run_*?limit=1000", by_two)
    near = behind(api, endpoints, "near", range(2, 10))
    open_at(page, api, "waiting")
    expect(page.locator(".event h2")).to_have_text(["approval near", "long"])
    expect(page.locator(".event").last).to_contain_text("may be beyond its first 10 steps.")
    far = behind(api, endpoints, "far", range(10, 100))
    page.reload()
    rows = page.get_by_role("listitem").filter(has=page.get_by_role("heading", level=2))
    row = rows.filter(has_text="An event of this run is beyond its first 10 steps.")
    expect(row).to_contain_text("key far")
    expect(row.get_by_role("link")).to_have_attribute("href", re.compile(f"/runs/{far}$"))
    expect(page.locator(".page-head")).to_contain_text("at least 1 open event")
    api.post(f"/runs/{near}/cancel")
    page.reload()
    expect(row).to_be_visible()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_have_count(0)


def behind(api: Api, endpoints: Endpoints, key: str, places: range) -> str:
    """A run with an open event at one of these places among its steps; its id.

    Steps are listed by their ids, so events are made and answered until one has such a place.
    """
    retry = {"count": 9, "backOff": 600_000, "jitter": "none"}
    run = api.start(endpoints.serve("/busy", (503, 0)), key, workflow="long", wait=False, retry=retry)
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(14):
        api.start(ok, f"{key}-{number}", workflow="long", parent=run["id"])
    more = {"workflow": "long", "parent": run["id"], "kind": "event", "stepName": f"approval {key}"}
    for number in range(100):
        event = api.start("", f"{key}-event-{number}", wait=False, **more)
        steps = [step["id"] for step in api.get(f"/runs/{run['runId']}?limit=1000")["steps"]]
        if sorted(steps).index(event["id"]) in places:
            return str(run["runId"])
        api.post(f"/steps/{event['id']}/result", True)
    raise AssertionError("no event has such a place")
