"""Flow: the keys of flow control, how endpoints do, and the limits of the client."""

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route, expect

from dashboard.stage import Api, Endpoints, server_with_keys
from dashboard.test_strangers import HOSTILE
from dashboard.test_watching import open_at
from scenarios.embedded_runtime import AtomicServer, create_client


def smtp(fair: str = "", **more: Any) -> list[dict[str, Any]]:
    return [{"key": "smtp", "concurrency": 1, "fair": fair, **more}]


def a_line(api: Api, endpoints: Endpoints, *fairs: str) -> None:
    """One step inside the key `smtp`, and one in line for each value of `fair`."""
    held = endpoints.serve("/held", None, (200, 1))
    api.start(held, "inside", workflow="inside it", wait=False, flow=smtp("ada"))
    until_key(api, running=1)
    for number, fair in enumerate(fairs):
        more = {"stepName": "mail", "workflow": "order", "flow": smtp(fair, priority=number)}
        api.start(endpoints.serve("/ok", (200, 1)), f"waits-{number}", wait=False, **more)
    until_key(api, running=1, queued=len(fairs))


def until_key(api: Api, **members: Any) -> None:
    for _ in range(500):
        key = api.get("/flow/smtp")
        if all(key.get(name) == value for name, value in members.items()):
            return
        time.sleep(0.02)
    raise AssertionError(key)


def test_keys_are_listed_with_what_runs_and_waits(page: Page, api: Api, endpoints: Endpoints) -> None:
    a_line(api, endpoints, "ada", "bob")
    api.put("/flow/api:v1", rate={"limit": 10, "per": 1500}, paused=True, note="too fast")
    open_at(page, api, "flow")
    expect(page.locator(".page-head")).to_contain_text("2 keys, 2 steps in line")
    rows = page.locator(".list.flow tbody tr")
    expect(rows).to_have_count(2)
    cells = rows.nth(1).get_by_role("cell")
    expect(cells.nth(0)).to_have_text("smtp")
    expect(cells.nth(1)).to_have_text("1 of 1")
    expect(cells.nth(2)).to_contain_text("2")
    expect(cells.nth(3)).to_contain_text(re.compile("[0-9]+ s$"))
    first = rows.first
    expect(first.locator(".badge")).to_have_text(["paused", "pinned"])
    expect(first.locator(".badge").first).to_have_attribute("title", "too fast")
    expect(first.get_by_role("cell").nth(4)).to_have_text("10 in 1.5 s")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("smtp")
    assert page.url.endswith("/flow/smtp")
    # What is let in leaves the line without a reload.
    endpoints.release()
    expect(page.get_by_role("heading", name="In line")).to_have_count(0)
    expect(page.locator(".facts").first).to_contain_text("0 of 1")


def test_without_keys_the_page_says_what_one_is(page: Page, api: Api) -> None:
    open_at(page, api, "flow")
    expect(page.get_by_role("heading", name="No keys of flow control")).to_be_visible()
    expect(page.get_by_text("None was called in this time.")).to_be_visible()
    open_at(page, api, "flow/unknown")
    expect(page.locator(".blank")).to_contain_text("No step has named this key within a day")


def test_further_keys_are_on_another_page(page: Page, api: Api) -> None:
    for number in range(102):
        api.put(f"/flow/k{number:03}", concurrency=1)
    open_at(page, api, "flow")
    expect(page.locator(".list.flow tbody tr")).to_have_count(100)
    page.get_by_role("button", name="Next").click()
    expect(page.locator(".list.flow tbody td.c-name")).to_contain_text(["k100", "k101"])
    page.get_by_role("button", name="First").click()
    expect(page.locator(".list.flow tbody tr")).to_have_count(100)


def test_the_page_of_a_key_has_its_steps_by_fair_value(page: Page, api: Api, endpoints: Endpoints) -> None:
    a_line(api, endpoints, "bob", "bob", "", "ada")
    open_at(page, api, "flow/smtp")
    values = page.locator(".fair tbody tr")
    expect(values.filter(has_text="bob").get_by_role("cell").nth(2)).to_have_text("2")
    expect(values.filter(has_text="ada").get_by_role("cell").nth(1)).to_have_text("1")
    expect(values.filter(has_text="none").get_by_role("cell").nth(2)).to_have_text("1")
    lists = page.locator(".flow-steps")
    expect(lists.first.locator("tbody .c-name")).to_have_text(["inside it"])
    # The one whose turn is next stands first: that of the highest priority.
    line = lists.last.locator("tbody tr")
    expect(line).to_have_count(4)
    expect(line.first.locator(".c-fair")).to_have_text("ada")
    expect(line.first).to_contain_text("order · mail")
    expect(line.locator(".c-key")).to_have_text(["waits-3", "waits-2", "waits-1", "waits-0"])
    line.first.get_by_role("link").click()
    expect(page).to_have_url(re.compile("/runs/run_[0-9a-f]{32}[?]step=run_"))
    expect(page.locator(".panel")).to_be_visible()


def test_limits_are_pinned_and_the_pin_is_ended(page: Page, api: Api, endpoints: Endpoints) -> None:
    a_line(api, endpoints, "ada", "bob")
    open_at(page, api, "flow/smtp")
    expect(page.get_by_role("button", name="Unpin")).to_have_count(0)
    page.get_by_role("button", name="Pin…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("in force over what starts and steps ask for")
    pin = dialog.get_by_role("button", name="Pin", exact=True)
    expect(pin).to_be_disabled()
    dialog.get_by_label("Begin at most").fill("5")
    expect(dialog.get_by_role("alert")).to_contain_text("A rate needs both")
    expect(pin).to_be_disabled()
    dialog.get_by_label("within seconds").fill("2.5")
    dialog.get_by_label("At a time").fill("0")
    expect(dialog.get_by_role("alert")).to_contain_text("At a time: use a whole number")
    dialog.get_by_label("At a time").fill("2")
    pin.click()
    expect(page.locator(".note")).to_contain_text("The limits are pinned.")
    expect(page.locator(".facts").first).to_contain_text("2 at a time, 5 in 2.5 s, over what steps ask for")
    pinned = api.get("/flow/smtp")["pinned"]
    assert pinned == {"concurrency": 2, "rate": {"limit": 5, "per": 2500}}
    # What is pinned stands in the fields; an empty field ends a pin of its own.
    page.get_by_role("button", name="Pin…").click()
    expect(dialog.get_by_label("At a time")).to_have_value("2")
    expect(dialog.get_by_label("within seconds")).to_have_value("2.5")
    dialog.get_by_label("Begin at most").fill("")
    dialog.get_by_label("within seconds").fill("")
    pin.click()
    expect(dialog).to_have_count(0)
    assert api.get("/flow/smtp")["pinned"] == {"concurrency": 2, "rate": None}
    page.get_by_role("button", name="Unpin").click()
    expect(page.get_by_role("button", name="Unpin")).to_have_count(0)
    assert api.get("/flow/smtp")["pinned"] == {"concurrency": None, "rate": None}


def test_a_refused_pin_says_why(page: Page, api: Api) -> None:
    api.put("/flow/smtp", concurrency=1)
    open_at(page, api, "flow/smtp")
    page.get_by_role("button", name="Pin…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("At a time").fill("99999")
    dialog.get_by_role("button", name="Pin", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("concurrency")
    assert api.get("/flow/smtp")["concurrency"] == 1


def test_a_key_is_paused_with_a_note_and_resumed(page: Page, api: Api, endpoints: Endpoints) -> None:
    a_line(api, endpoints, "ada")
    open_at(page, api, "flow/smtp")
    page.get_by_role("button", name="Pause key…").click()
    note = page.get_by_label("Why?")
    expect(note).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Pause key…")).to_be_focused()
    page.keyboard.press("Enter")
    note.fill(f" {HOSTILE} ")
    note.press("Enter")
    bar = page.locator(".paused-bar")
    expect(bar).to_contain_text(f"Paused: {HOSTILE}")
    expect(page.get_by_role("button", name="Pause key…")).to_have_count(0)
    expect(bar.get_by_role("button", name="Resume key")).to_be_focused()
    key = api.get("/flow/smtp")
    assert (key["paused"], key["note"]) == (True, HOSTILE)
    endpoints.release()
    until_key(api, running=0, queued=1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause key…")).to_be_focused()
    expect(bar).to_have_count(0)
    until_key(api, paused=False, note="", queued=0)


def test_lines_of_singletons_have_no_buttons(page: Page, api: Api, endpoints: Endpoints) -> None:
    held = endpoints.serve("/held", None, (200, 1))
    single = {"key": "a:b~@c", "onBusy": "queue"}
    for number in range(2):
        api.start(held, f"s-{number}", wait=False, singleton=single)
    open_at(page, api, "flow")
    page.get_by_role("link", name="singleton=").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("singleton=a:b~@c")
    expect(page.get_by_text("It cannot be pinned or paused.")).to_be_visible()
    expect(page.locator(".flow-steps tbody tr")).to_have_count(2)
    expect(page.get_by_role("button", name="Pin…")).to_have_count(0)
    page.reload()
    expect(page.locator(".flow-steps tbody tr")).to_have_count(2)


def test_hostile_fair_values_and_names_stay_text(page: Page, api: Api, endpoints: Endpoints) -> None:
    held = endpoints.serve("/held", None, (200, 1))
    for number in range(2):
        more = {"workflow": HOSTILE, "stepName": HOSTILE, "flow": smtp(f"{HOSTILE}\u202e")}
        api.start(held, f"k-{number}", wait=False, **more)
    until_key(api, running=1, queued=1)
    open_at(page, api, "flow/smtp")
    for place in (".fair td", ".flow-steps .c-name", ".flow-steps .c-fair"):
        expect(page.locator(place).first).to_contain_text("<img/src=x")
    open_at(page, api, f"flow/{quote(HOSTILE, safe='')}")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.locator(".blank")).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert page.locator("img:not([src='/static/icon.svg'])").count() == 0
    assert page.locator("script").count() == 1


def test_long_names_do_not_widen_the_page(page: Page, api: Api, endpoints: Endpoints) -> None:
    key, fair, name = "k" * 128, "f" * 255, "w" * 255
    api.put(
        f"/flow/{key}", concurrency=1, paused=True, rate={"limit": 999, "per": 86_400_000}, note="n" * 500
    )
    ok = endpoints.serve("/ok", (200, 1))
    api.start(ok, "long", wait=False, workflow=name, stepName=name, flow=[{"key": key, "fair": fair}])
    for width in (390, 1024):
        page.set_viewport_size({"width": width, "height": 800})
        for view, there in (("flow", ".list.flow tbody tr"), (f"flow/{key}", ".flow-steps tbody tr")):
            open_at(page, api, view)
            expect(page.locator(there).first).to_be_visible()
            overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0, f"{view[:4]} is {overflow} px too wide at {width}"


def test_keys_endpoints_and_steps_of_another_client_are_not_shown(
    page: Page, api: Api, server: AtomicServer, endpoints: Endpoints
) -> None:
    theirs = Api(server.url, f"{api.client}-other")
    a_line(theirs, endpoints, "their value")
    theirs.put("/flow/theirs", concurrency=1, paused=True, note="their note")
    api.put("/flow/smtp", concurrency=7)
    open_at(page, api, "flow")
    expect(page.locator(".list.flow tbody tr")).to_have_count(1)
    expect(page.locator(".list.flow tbody tr")).to_contain_text("0 of 7")
    expect(page.get_by_text("None was called in this time.")).to_be_visible()
    open_at(page, api, "flow/smtp")
    expect(page.locator(".facts").first).to_contain_text("7 at a time")
    expect(page.locator(".flow-steps")).to_have_count(0)
    open_at(page, api, "flow/theirs")
    expect(page.locator(".blank")).to_be_visible()
    expect(page.get_by_text("their note")).to_have_count(0)


def test_an_endpoint_that_fails_is_shown_with_its_failures(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    good, bad = endpoints.serve("/good", (200, 1)), endpoints.serve("/bad", (503, 0))
    for number in range(3):
        api.start(good, f"good-{number}")
    api.start(bad, "bad", retry={"count": 0})
    api.start("http://127.0.0.1:9/down", "down", retry={"count": 0})
    open_at(page, api, "flow")
    rows = page.locator(".endpoints tbody tr")
    expect(rows).to_have_count(2)
    row = rows.filter(has_text=endpoints.url)
    cells = row.get_by_role("cell")
    expect(cells.nth(1)).to_have_text("4")
    expect(cells.nth(2)).to_have_text("1")
    expect(cells.nth(3)).to_have_text("25 %")
    expect(cells.nth(4)).to_contain_text("ms")
    expect(cells.nth(6)).to_have_text("0")
    expect(rows.filter(has_text="127.0.0.1:9").get_by_role("cell").nth(3)).to_have_text("100 %")


def unconditional(headers: dict[str, str]) -> dict[str, str]:
    """So that the answer has a body, which can be changed."""
    return {name: value for name, value in headers.items() if name != "if-none-match"}


def slowed(route: Route) -> None:
    answer = route.fetch(headers=unconditional(route.request.headers))
    said = answer.json()
    origin = {"origin": f"http://{HOSTILE}", "limit": 3, "underWay": 3, "waiting": 8, "rests": 2000}
    if "slowedOrigins" in said:
        said["slowedOrigins"] = [origin]
    else:
        numbers = {"attempts": 9, "failed": 9, "durationMsP50": 1, "durationMsP95": None, "slowed": True}
        said["endpoints"] = [origin | numbers, origin | numbers | {"origin": None, "underWay": None}]
    route.fulfill(response=answer, body=json.dumps(said))


def test_an_overloaded_origin_is_told_on_the_overview_and_on_flow(page: Page, api: Api) -> None:
    page.route(re.compile("/stats[?]|/endpoints$"), slowed)
    open_at(page, api, "overview")
    page.get_by_role("link", name="Seems overloaded").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Flow")
    rows = page.locator(".endpoints tbody tr")
    expect(rows.first).to_contain_text("rests for 2.00 s")
    expect(rows.first).to_contain_text("<img/src=x")
    expect(rows.first.get_by_role("cell").nth(7)).to_have_text("3")
    expect(rows.last).to_contain_text("all others")
    assert page.evaluate("window.hit") is None


def test_a_server_that_sees_not_all_attempts_has_no_endpoints(page: Page, api: Api) -> None:
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=404, json={"title": "Not found", "detail": "No process sees all attempts."})

    page.route("**/endpoints", refuse)
    open_at(page, api, "flow")
    expect(page.get_by_text("Limits of this client")).to_be_visible()
    expect(page.get_by_role("heading", name="Endpoints")).to_have_count(0)
    page.wait_for_timeout(4_000)
    assert len(asked) == 1


def test_limits_are_shown_and_warn_when_they_are_near(
    page: Page, tmp_path: Path, endpoints: Endpoints
) -> None:
    data_dir = tmp_path / "data"
    limits = ("--live-steps", "4", "--starts-per-second", "50", "--stored-bytes", "2000000")
    key = create_client(data_dir, "acme", "--base-url", f"{endpoints.url}/", *limits)
    server = AtomicServer(data_dir, dev=False)
    server.start()
    try:
        api = Api(server.url, "acme", key)
        for number in range(3):
            api.start(endpoints.serve("/ok", (200, 1)), f"k-{number}", wait=False, delay=600_000)
        page.goto(f"{server.url}/dashboard#/acme/runs")
        page.evaluate("key => sessionStorage.setItem('atomic.key.acme', key)", key)
        page.reload()
        open_at(page, api, "overview")
        page.get_by_role("link", name="Live steps: 3 of 4").click()
        shown = page.locator(".limits")
        expect(shown).to_have_attribute("open", "")
        expect(shown.locator("dd").nth(0)).to_have_text("3 of 4")
        expect(shown.locator("dd").nth(0).locator(".meter-near")).to_have_count(1)
        expect(shown.locator("dd").nth(1)).to_contain_text(re.compile("^[0-9]+ bytes of 2.0 MB$"))
        expect(shown.locator("dd").nth(2)).to_have_text("at most 50")
    finally:
        server.stop()


def test_a_client_without_limits_sees_no_warning(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "k")
    open_at(page, api, "overview")
    expect(page.locator(".chart").first).to_be_visible()
    expect(page.locator(".warnings")).to_have_count(0)
    open_at(page, api, "flow")
    page.get_by_text("Limits of this client").click()
    expect(page.locator(".limits dd")).to_have_text(["no limit"] * 3)


@pytest.mark.parametrize("may_act", [False, True])
def test_a_key_sees_the_buttons_that_it_may_press(
    page: Page, tmp_path: Path, endpoints: Endpoints, *, may_act: bool
) -> None:
    with server_with_keys(tmp_path, endpoints.url) as server:
        Api(server.url, "acme", server.acts).put("/flow/smtp", concurrency=1, paused=True)
        server.enter(page, server.acts if may_act else server.reads)
        page.goto(f"{server.url}/dashboard#/acme/flow/smtp")
        expect(page.locator(".paused-bar")).to_be_visible()
        for name in ("Pin…", "Unpin", "Resume"):
            expect(page.get_by_role("button", name=name)).to_have_count(int(may_act))
