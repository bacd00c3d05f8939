"""A server with API keys: the dashboard asks for a key, keeps it for the tab, never in the address."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from dashboard.stage import Api, Endpoints, server_with_keys
from scenarios.embedded_runtime import AtomicServer, create_client

# An update is tried again after seconds when it fails.
A_FEW_UPDATES_MS = 6_000


@pytest.fixture
def locked(tmp_path: Path, endpoints: Endpoints) -> Iterator[Api]:
    with server_with_keys(tmp_path, endpoints.url) as server:
        yield Api(server.url, "acme", server.acts)


def key_of(api: Api) -> str:
    return api._headers["Authorization"].removeprefix("Bearer ")


def test_the_key_is_asked_for_and_kept_for_the_tab(page: Page, locked: Api, endpoints: Endpoints) -> None:
    locked.start(endpoints.serve("/ok", (200, 1)), "secret-run")
    page.goto(f"{locked.server}/dashboard#/acme/runs")
    expect(page.get_by_role("heading", name="“acme” needs its API key")).to_be_visible()

    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Show runs").click()
    expect(page.get_by_role("alert")).to_contain_text("This key is not valid for this client")

    page.get_by_label("API key").fill(key_of(locked))
    page.get_by_role("button", name="Show runs").click()
    expect(page.get_by_role("row").filter(has_text="secret-run")).to_be_visible()
    assert key_of(locked) not in page.url
    assert key_of(locked) not in page.content()
    page.reload()
    expect(page.get_by_role("row").filter(has_text="secret-run")).to_be_visible()
    assert page.evaluate("Object.values(localStorage).join()").find(key_of(locked)) == -1

    other = page.context.new_page()
    other.goto(f"{locked.server}/dashboard#/acme/runs")
    expect(other.get_by_role("heading", name="“acme” needs its API key")).to_be_visible()


def test_nothing_is_read_while_the_key_is_asked_for(page: Page, locked: Api) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/runs?" in request.url else None)
    page.goto(f"{locked.server}/dashboard#/acme/runs")
    expect(page.get_by_role("heading", name="“acme” needs its API key")).to_be_visible()
    before = len(asked)
    page.wait_for_timeout(A_FEW_UPDATES_MS)
    assert len(asked) == before
    page.get_by_label("API key").fill(key_of(locked))
    page.get_by_role("button", name="Show runs").click()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    assert len(asked) > before


def test_a_key_without_the_scope_read_gets_a_message(
    page: Page, tmp_path: Path, endpoints: Endpoints
) -> None:
    data_dir = tmp_path / "data"
    key = create_client(data_dir, "acme", "--base-url", f"{endpoints.url}/", "--scope", "start")
    server = AtomicServer(data_dir, dev=False)
    server.start()
    try:
        page.goto(f"{server.url}/dashboard#/acme/runs")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Show runs").click()
        expect(page.locator(".blank")).to_contain_text("it lacks the scope")
        expect(page.locator(".pulse")).to_have_text("Refused")
    finally:
        server.stop()


def test_signing_out_forgets_the_key_and_the_client(page: Page, locked: Api, endpoints: Endpoints) -> None:
    locked.start(endpoints.serve("/ok", (200, 1)), "secret-run")
    page.goto(f"{locked.server}/dashboard#/acme/runs")
    page.get_by_label("API key").fill(key_of(locked))
    page.get_by_role("button", name="Show runs").click()
    page.get_by_label("Search runs").fill("secret")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text="secret-run")).to_be_visible()
    assert "acme" in page.evaluate("JSON.stringify(localStorage)")

    page.get_by_role("button", name="acme").click()
    dialog = page.get_by_role("dialog", name="Client acme")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    dialog.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Open a client")).to_be_visible()
    kept = page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    assert "acme" not in kept
    assert "secret" not in kept
    page.go_back()
    expect(page.get_by_role("heading", name="“acme” needs its API key")).to_be_visible()
    assert "secret-run" not in page.content()


def test_another_client_of_this_browser_is_opened(page: Page, api: Api, endpoints: Endpoints) -> None:
    other = f"{api.client}-other"
    Api(api.server, other).start(endpoints.serve("/ok", (200, 1)), "of-the-other")
    page.goto(f"{api.server}/dashboard#/{other}/runs")
    expect(page.get_by_role("row").filter(has_text="of-the-other")).to_be_visible()
    page.goto(f"{api.server}/dashboard#/{api.client}/runs")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    page.reload()
    page.get_by_role("button", name=api.client).click()
    dialog = page.get_by_role("dialog", name=f"Client {api.client}")
    expect(dialog.get_by_role("listitem")).to_have_text([other])
    dialog.get_by_role("link", name=other).click()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile(f"#/{other}/overview$"))
    page.get_by_role("button", name=other).click()
    page.get_by_role("dialog").get_by_role("link", name="Open a client…").click()
    expect(page.get_by_role("heading", name="Open a client")).to_be_focused()


def test_without_an_address_the_client_is_asked_for(page: Page, api: Api) -> None:
    page.goto(f"{api.server}/dashboard")
    page.get_by_label("Client").fill(api.client)
    page.get_by_role("button", name="Show runs").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert page.url.endswith(f"#/{api.client}/overview")
    page.goto("about:blank")
    page.goto(f"{api.server}/dashboard")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()


def test_a_lost_connection_is_shown_and_recovers(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "before")
    page.goto(f"{api.server}/dashboard#/{api.client}/runs")
    expect(page.get_by_role("row").filter(has_text="before")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"Showing data from \d\d:\d\d:\d\d[.]"))
    expect(page.get_by_role("row").filter(has_text="before")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_an_answer_that_came_in_part_is_asked_for_again(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/ok", (200, 1)), "before")
    cut: list[str] = []

    def in_part(route: Route) -> None:
        if cut:
            return route.continue_()
        cut.append(route.request.url)
        answer = route.fetch()
        # Its tag is that of the whole, which the server would confirm.
        named = {name: text for name, text in answer.headers.items() if name in {"etag", "content-type"}}
        return route.fulfill(status=200, headers=named, body=answer.text()[:20])

    page.route("**/runs/**", in_part)
    page.goto(f"{api.server}/dashboard#/{api.client}/runs/{run['runId']}")
    expect(page.locator(".row")).to_have_count(1)
    assert cut


def test_a_key_sees_the_buttons_that_it_may_press(page: Page, tmp_path: Path, endpoints: Endpoints) -> None:
    with server_with_keys(tmp_path, endpoints.url) as server:
        api = Api(server.url, "acme", server.acts)
        run = api.start(endpoints.serve("/gone", (410, 0)), "gone")
        busy = api.start(endpoints.serve("/busy", (503, 0)), "waits", wait=False, retry={"count": 9})
        event = api.start("", "waits", parent=busy["id"], kind="event", stepName="approval", wait=False)
        cause = api.get("/causes")["causes"][0]["id"]
        # An address, what it shows to everybody, a button, and how many boxes to tick it has with it.
        places = (
            (f"runs/{run['runId']}?step={run['id']}", ".panel", "Redrive", 0),
            (f"runs/{event['runId']}?step={event['id']}", ".panel", "Cancel", 0),
            ("problems", "tbody tr", "Redrive", 0),
            (f"problems/{cause}", "tbody tr", "Redrive", 2),
        )
        for given, is_shown in ((server.reads, False), (server.acts, True)):
            server.enter(page, given)
            for place, there, button, boxes in places:
                page.goto(f"{server.url}/dashboard#/acme/{place}")
                expect(page.locator(there).first).to_be_visible()
                found = page.get_by_role("button", name=button)
                expect(found.first).to_be_visible() if is_shown else expect(found).to_have_count(0)
                expect(page.get_by_role("checkbox")).to_have_count(boxes if is_shown else 0)
