"""Untrusted text is shown as text, and nothing of it is run, neither in the page nor in copied commands."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_search import options_of
from dashboard.test_watching import open_at
from scenarios.embedded_runtime import AtomicServer

HOSTILE = "<img/src=x/onerror=window.hit=1>'\"&lt;script>window.hit=2</script>${window.hit=3}"
KEY = HOSTILE.replace(" ", "")
# A right-to-left override, which turns `evil` into `live`.
TURN = "\u202e"
TURNED = f"pay{TURN}live"
SHELL = "'$(touch${IFS}hit)`touch${IFS}hit`\"$ATOMIC_API_KEY;touch${IFS}hit"


def test_hostile_strings_stay_text_everywhere(page: Page, api: Api, endpoints: Endpoints) -> None:
    answer = {"error": HOSTILE, HOSTILE: [HOSTILE]}
    bad = endpoints.serve("/x<img src=x onerror=hit>".replace(" ", "%20"), (410, answer))
    ok = endpoints.serve("/ok", (200, HOSTILE))
    for number, url in enumerate((bad, ok)):
        more = {"stepName": HOSTILE, "payload": {HOSTILE: HOSTILE}, "tags": {"from": HOSTILE}}
        api.start(url, f"{KEY}{number}", workflow=HOSTILE, **more)
    busy = api.start(endpoints.serve("/busy", (503, 0)), f"{KEY}2", workflow=HOSTILE, wait=False)
    event = {"kind": "event", "stepName": HOSTILE, "payload": {HOSTILE: HOSTILE}, "workflow": HOSTILE}
    api.start("", f"{KEY}2", parent=busy["id"], wait=False, **event)
    runs = api.get("/runs?status=succeeded")["runs"] + api.get("/runs?status=failed")["runs"]
    hrefs = [f"runs/{run['runId']}?step={run['id']}" for run in runs]
    cause = api.get("/causes")["causes"][0]["id"]
    name = quote(HOSTILE, safe="")
    query = f"runs?workflow={name}&search={quote(KEY)}&tag=from:{name}&error={name}&period={name}"
    pages = ("problems", f"problems/{cause}", "waiting", "overview", f"workflows/{name}")
    for view in ("runs", query, *pages, *hrefs):
        open_at(page, api, view)
        page.reload()
        expect(page.get_by_text("<img/src=x").first).to_be_visible()
        assert page.evaluate("window.hit") is None
        assert page.locator("img:not([src='/static/icon.svg'])").count() == 0
        assert page.locator("script").count() == 1
    open_at(page, api, "problems")
    page.get_by_role("button", name="Redrive 1 run").click()
    expect(page.get_by_role("dialog").get_by_text("<img/src=x").nth(2)).to_be_visible()
    assert page.evaluate("window.hit") is None
    page.keyboard.press("Escape")
    open_at(page, api, "waiting")
    page.get_by_role("button", name="Approve…").click()
    expect(page.get_by_role("dialog")).to_contain_text("<img/src=x")
    open_at(page, api, hrefs[0])
    page.get_by_text("Details", exact=True).click()
    page.get_by_text("Headers sent").click()
    expect(page.locator("details details dd").nth(1)).to_contain_text("<img/src=x")


def test_hostile_strings_stay_text_in_what_is_found_out_of_a_run(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    trace = {"detail": HOSTILE, "traceback": f"{HOSTILE}\n{HOSTILE}", HOSTILE: {HOSTILE: 1}}
    run = api.start(endpoints.serve("/order", None, (410, trace)), KEY, workflow=HOSTILE, wait=False)
    ok, bad = endpoints.serve("/ok", (200, 1)), endpoints.serve("/bad", (500, trace), (410, trace))
    for number in range(10):
        api.start(ok, f"{number}", workflow=HOSTILE, parent=run["id"], stepName=HOSTILE)
    event = api.start(
        "", KEY, workflow=HOSTILE, parent=run["id"], stepName=f"e{HOSTILE}", kind="event", wait=False
    )
    more = {"parent": run["id"], "retry": {"count": 1, "backOff": 1}}
    failed = api.start(bad, KEY, workflow=HOSTILE, stepName=f"f{HOSTILE}", **more)
    open_at(page, api, f"runs/{run['runId']}?step={event['id']}")
    page.get_by_role("button", name="Approve…").click()
    expect(page.get_by_role("dialog")).to_contain_text("<img/src=x")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_label("Find step").fill(HOSTILE)
    endpoints.release()
    open_at(page, api, f"runs/{run['runId']}?step={failed['id']}")
    for name in ("Stack trace", "Result", "Why this run failed"):
        expect(page.get_by_role("region", name=name)).to_contain_text("<img/src=x")
    page.get_by_role("region", name="Result").get_by_role("button").last.click()
    page.get_by_text("Compare two attempts").click()
    expect(page.get_by_role("region", name="Attempt #2")).to_contain_text("<img/src=x")
    page.get_by_role("button", name="Redrive step").click()
    expect(page.get_by_role("dialog")).to_contain_text("<img/src=x")
    page.keyboard.press("Escape")
    page.get_by_label("Find step").fill("")
    group = page.locator(".row.group")
    expect(group).to_contain_text("<img/src=x")
    group.click()
    assert page.evaluate("window.hit") is None
    assert page.locator("img:not([src='/static/icon.svg'])").count() == 0
    assert page.locator("script").count() == 1


def test_hostile_strings_of_a_schedule_stay_text(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/x<img src=x onerror=hit>".replace(" ", "%20"), (410, {HOSTILE: HOSTILE}))
    start = {"payload": {HOSTILE: HOSTILE}, "tags": {"from": HOSTILE}}
    times = {"every": 1000, "limit": 1}
    api.put_schedule("bad", url, workflow=HOSTILE, start=start, note=HOSTILE, **times)
    api.put_schedule("held", url, workflow=HOSTILE, start=start, note=HOSTILE, every=3_600_000, paused=True)
    for view in ("schedules", f"schedules?find={quote('<img', safe='')}&sort={quote(HOSTILE)}"):
        open_at(page, api, view)
        page.reload()
        expect(page.locator("tbody tr")).to_have_count(2)
        expect(page.locator("tbody")).to_contain_text(HOSTILE)
    for name in ("bad", "held"):
        open_at(page, api, f"schedules/{name}")
        expect(page.locator(".chip")).to_contain_text(HOSTILE)
        expect(page.locator("main")).to_contain_text(HOSTILE)
        page.get_by_role("button", name="Trigger now…").click()
        expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
        page.keyboard.press("Escape")
    expect(page.locator(".paused-bar")).to_contain_text(HOSTILE)
    open_at(page, api, "schedules/bad")
    expect(page.locator(".runs tbody tr")).to_contain_text("<img/src=x", timeout=20_000)
    for view in (f"schedules/{quote(KEY, safe='')}", f"schedules/{quote('../../runs', safe='')}"):
        open_at(page, api, view)
        expect(page.locator(".blank")).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert page.locator("img:not([src='/static/icon.svg'])").count() == 0
    assert page.locator("script").count() == 1


def test_suggestions_and_notes_stay_text(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "k", workflow=HOSTILE, tags={"from": HOSTILE})
    open_at(page, api, "runs")
    field = page.get_by_role("combobox", name="Search runs")
    for text in ("workflow:", "tag:"):
        field.fill(text)
        options_of(page).filter(has_text="<img/src=x").first.click()
        expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator(".filter-chip")).to_have_count(2)
    field.fill(f"status:{KEY}")
    field.press("Enter")
    expect(page.locator("#search-note")).to_contain_text("<img/src=x")
    page.reload()
    field.focus()
    expect(options_of(page).filter(has_text="<img/src=x").first).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert page.locator("img:not([src='/static/icon.svg'])").count() == 0


def test_one_client_is_shown_nothing_of_another(
    page: Page, api: Api, server: AtomicServer, endpoints: Endpoints
) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    theirs = Api(server.url, f"{api.client}-other")
    theirs.start(ok, "their-key", workflow="their workflow", tags={"whose": "theirs"})
    theirs.start(endpoints.serve("/bad", (410, 0)), "their-bad", workflow="their workflow")
    api.start(ok, "own", workflow="own workflow")
    open_at(page, api, "runs?search=their&workflow=their+workflow&tag=whose:theirs")
    expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()
    page.get_by_role("combobox", name="Search runs").fill("o")
    expect(options_of(page).filter(has_text="own workflow")).to_be_visible()
    expect(options_of(page).filter(has_text="their")).to_have_count(0)
    open_at(page, api, "overview")
    expect(page.locator(".workflows tbody tr")).to_have_count(1)
    expect(page.locator(".chart").first.locator(".chart-now")).to_have_text("1")
    theirs.put_schedule("their-schedule", ok, every=3_600_000, note="their-note")
    api.put_schedule("own-schedule", ok, every=3_600_000)
    open_at(page, api, "schedules?find=schedule")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("own-schedule")
    open_at(page, api, "schedules/their-schedule")
    expect(page.locator(".blank")).to_contain_text("belongs to another client")
    expect(page.get_by_text("their-note")).to_have_count(0)
    open_at(page, api, "workflows/their%20workflow")
    expect(page.get_by_role("heading", name="No runs of this workflow")).to_be_visible()
    expect(page.locator(".chart").first.locator(".chart-now")).to_have_text("0")
    expect(page.get_by_text("their-")).to_have_count(0)


def test_the_policy_refuses_what_no_view_does(browser: Browser, api: Api) -> None:
    page = browser.new_page()
    open_at(page, api, "runs")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    refused = """() => {
        try { document.body.innerHTML = '<b>hit</b>'; return 'taken'; } catch (error) { return error.name; }
    }"""
    assert page.evaluate(refused) == "TypeError"
    # Nor does the library do so on behalf of a view.
    by_library = """async () => {
        const { html, render } = await import("/static/vendor/preact-htm.js");
        const asked = html`<p dangerouslySetInnerHTML=${{ __html: "<b>hit</b>" }} />`;
        const place = document.createElement("div");
        try { render(asked, place); return "taken"; } catch (error) { return error.name; }
    }"""
    assert page.evaluate(by_library) == "TypeError"
    page.close()


def test_a_client_sees_no_problem_of_another(
    page: Page, api: Api, server: AtomicServer, endpoints: Endpoints
) -> None:
    other = Api(server.url, f"{api.client}-other")
    for each, whose in ((api, "one"), (other, "another")):
        each.start(endpoints.serve(f"/{whose}", (410, {"error": f"gone for {whose}"})), "same-key")
    cause = other.get("/causes")["causes"][0]["id"]
    open_at(page, api, "problems")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Redrive 1 run").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive 1 run").click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("1 run redriven")

    open_at(page, other, "problems")
    expect(page.locator("tbody tr")).to_contain_text("gone for another")
    # What was done for one client is not shown to the other, and the other's runs are as they were.
    expect(page.get_by_role("region", name="Progress")).to_have_count(0)
    assert other.get("/runs?status=failed")["runs"][0]["generation"] == 1
    open_at(page, api, f"problems/{cause}")
    expect(page.get_by_role("heading", name="No run has this cause now")).to_be_visible()
    expect(page.get_by_text("gone for another")).to_have_count(0)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the copied commands use curl")
def test_the_copied_command_attaches_to_the_step_and_runs_nothing_else(
    page: Page, api: Api, endpoints: Endpoints, tmp_path: Path
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run = api.start(endpoints.serve("/ok", (200, 1)), SHELL, payload={"it's": SHELL})
    open_at(page, api, f"runs/{run['runId']}?step={run['id']}")
    page.get_by_text("Details", exact=True).click()
    for name in ("Copy as curl", "Copy endpoint call"):
        page.get_by_role("complementary").get_by_role("button", name=name).click()
        note = page.locator(".note").filter(has_text="Copied.")
        note.get_by_role("button", name="Dismiss").click()
        expect(note).to_have_count(0)
        command = page.evaluate("navigator.clipboard.readText()")
        done = subprocess.run(
            ["sh", "-c", f"{command} -s"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
            timeout=30,
        )
        assert list(tmp_path.iterdir()) == []
        answer = json.loads(done.stdout)
        assert (answer == 1) if name == "Copy endpoint call" else (answer["id"] == run["id"])


def test_every_answer_of_the_dashboard_is_the_server_s_own(
    page: Page, api: Api, server: AtomicServer
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for view in ("runs", "overview", "problems", "schedules", "flow"):
        open_at(page, api, view)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert len(asked) > 8
    assert {url for url in asked if not url.startswith(server.url)} == set()


def test_no_name_turns_the_text_beside_it_around(page: Page, api: Api, endpoints: Endpoints) -> None:
    """Characters that reverse what follows them are written out, in texts, titles and names of buttons."""
    bad = endpoints.serve("/bad", (410, {"error": TURNED}))
    busy, held = endpoints.serve("/busy", (503, 0)), endpoints.serve("/held", None, (200, 1))
    failed = api.start(bad, "failed", workflow=TURNED, tags={"from": TURNED})
    live = api.start(busy, "live", workflow=TURNED, wait=False, retry={"count": 9, "backOff": 600_000})
    within: dict[str, Any] = {"workflow": TURNED, "parent": live["id"]}
    event = api.start("", "e", **within, wait=False, kind="event", stepName=TURNED)
    step = api.start(bad, "s", **within, stepName=TURNED)
    api.put_schedule("nightly", busy, workflow=TURNED, every=3_600_000, paused=True, note=TURNED)
    flow = [{"key": "api", "concurrency": 1, "fair": TURNED}]
    for key in ("one", "two", "three"):
        api.start(held, key, **within, wait=False, stepName=TURNED, flow=flow)
    cause = next(each["id"] for each in api.get("/causes")["causes"])
    name = quote(TURNED, safe="")
    filtered = (f"runs?workflow={name}&tag=from:{name}", f"runs?period=custom&from={name}")
    lists = ("overview", "problems", "waiting", "schedules", *filtered)
    ones = ("schedules/nightly", f"workflows/{name}", "flow/api", f"schedules/{name}", f"flow/{name}")
    runs = (f"runs/{failed['runId']}", f"runs/{live['runId']}", f"runs/{live['runId']}?step={step['id']}")
    for view in ("runs", *lists, *ones, *runs):
        shows_it_written_out(page, api, view)
    open_at(page, api, f"problems/{cause}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("\\u202e")
    assert TURN not in shown_of(page)
    for view, button in (
        ("waiting", "Approve…"),
        ("waiting", "Reject…"),
        ("waiting", "Send JSON…"),
        ("schedules/nightly", "Trigger now…"),
        (f"runs/{live['runId']}", "Cancel run"),
        (f"runs/{failed['runId']}", "Restart with edited input…"),
        (f"runs/{live['runId']}?step={event['id']}", "Approve…"),
        (f"runs/{live['runId']}?step={step['id']}", "Redrive step"),
    ):
        open_at(page, api, view)
        page.get_by_role("button", name=button, exact=True).first.click()
        expect(page.get_by_role("dialog")).to_contain_text("\\u202e")
        assert TURN not in shown_of(page)
        page.keyboard.press("Escape")
    open_at(page, api, "waiting")
    page.get_by_role("button", name="Send JSON…").click()
    page.get_by_label("Result, as JSON").fill(TURNED)
    expect(page.get_by_role("alert")).to_contain_text("\\u202e")
    assert TURN not in shown_of(page)
    open_at(page, api, "runs")
    field = page.get_by_role("combobox", name="Search runs")
    field.fill("workflow:")
    expect(options_of(page).filter(has_text="\\u202e")).to_have_count(1)
    assert TURN not in shown_of(page)
    field.fill(f"status:{TURNED}")
    field.press("Enter")
    expect(page.locator("#search-note")).to_contain_text("\\u202e")
    assert TURN not in shown_of(page)


def test_the_name_of_a_cause_turns_nothing_around(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/order", None, (410, 0)), "k", wait=False)
    gone = endpoints.serve("/gone", (410, {"error": TURNED}))
    api.start(gone, "k", parent=run["id"], stepName=TURNED)
    endpoints.release()
    open_at(page, api, "problems")
    page.locator("tbody .row-link").click()
    expect(page.locator("tbody .c-error")).to_contain_text(
        "pay\\u202elive: the endpoint answered 410: pay live"
    )
    assert TURN not in shown_of(page)


def test_words_of_the_server_turn_nothing_around(page: Page, api: Api, endpoints: Endpoints) -> None:
    """What it says of a refusal may quote what somebody has sent."""
    run = api.start(endpoints.serve("/busy", (503, 0)), "k", wait=False, retry={"count": 9})
    refusal = {"status": 503, "json": {"title": "Refused", "detail": TURNED}}
    page.route("**/*", lambda route: refused_unless_read(route, refusal))
    open_at(page, api, "workflows/order")
    page.get_by_role("button", name="Pause workflow…").click()
    page.get_by_role("button", name="Pause workflow", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Refused. pay\\u202elive")
    open_at(page, api, f"runs/{run['runId']}")
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    expect(page.get_by_role("alert")).to_have_text("Refused. pay\\u202elive")
    page.keyboard.press("Escape")
    open_at(page, api, "start")
    page.get_by_label("Workflow").fill("order")
    expect(page.get_by_text("those of the run with key k")).to_be_visible()
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_role("alert")).to_have_text("Refused. pay\\u202elive")
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.route("**/runs?**", lambda route: route.fulfill(**refusal))
    expect(page.locator(".stale")).to_contain_text("pay\\u202elive")


def refused_unless_read(route: Route, refusal: Any) -> None:
    if route.request.method == "GET":
        route.continue_()
    else:
        route.fulfill(**refusal)


def shows_it_written_out(page: Page, api: Api, view: str) -> None:
    open_at(page, api, view)
    page.reload()
    expect(page.locator("main").get_by_text("\\u202e").first).to_be_visible()
    assert TURN not in shown_of(page), view


def shown_of(page: Page) -> str:
    """All that the page says: its text, the title of its tab, the titles and names of its elements."""
    said = """() => {
        const named = [...document.querySelectorAll("[title], [aria-label]")];
        const names = named.flatMap((each) => [each.title, each.getAttribute("aria-label") ?? ""]);
        return [document.title, document.body.innerText, ...names].join("\\n");
    }"""
    return str(page.evaluate(said))
