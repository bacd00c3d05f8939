"""The progress of a run appears without a reload: in the list, in the waterfall, in the step panel."""

import re
import signal
from pathlib import Path

from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints, example_application
from scenarios.embedded_runtime import AtomicServer


def open_at(page: Page, api: Api, rest: str) -> None:
    page.goto(f"{api.server}/dashboard#/{api.client}/{rest}")


def test_a_run_goes_from_running_to_succeeded_and_shows_its_refused_attempts(
    page: Page, api: Api, server: AtomicServer, folder: Path
) -> None:
    with example_application(server, api.client, folder) as (app, process):
        open_at(page, api, "runs")
        expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
        process.send_signal(signal.SIGSTOP)
        workflow = f"{app}/workflows/userCreation/index"
        payload = {"userName": "ada"}
        api.start(workflow, "ada-1", workflow="createUser", payload=payload, wait=False)

        row = page.get_by_role("row").filter(has_text="ada-1")
        expect(row).to_contain_text("running")
        process.send_signal(signal.SIGCONT)
        expect(row).to_contain_text("succeeded")
        expect(row).to_contain_text("3/3")
        # Three calls of one step failed. The calls of the workflow after its suspensions are no retries.
        expect(row.get_by_role("cell").last).to_have_text("↻ 3")

        row.get_by_role("link").click()
        expect(page.locator(".row")).to_have_count(4)
        analytics = page.locator(".row").filter(has_text="sendAnalytics")
        expect(analytics.locator(".bar.is-retryable")).to_have_count(3)
        expect(analytics.locator(".bar.is-succeeded")).to_have_count(1)
        expect(analytics.locator(".bar.is-backoff")).to_have_count(3)

        analytics.click()
        panel = page.get_by_role("complementary")
        expect(panel.locator(".attempts li").filter(has_text="failed · 404")).to_have_count(3)
        page.get_by_text("Details", exact=True).click()
        expect(panel).to_contain_text("Retried up to 10 times, first after 300 ms")
        expect(panel.get_by_label("Input", exact=True)).to_contain_text('"userName": "ada"')
        expect(panel.get_by_label("Result", exact=True)).to_contain_text('"tracked": true')


def test_a_live_run_is_watched_to_its_end_on_its_own_page(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    url = endpoints.serve("/slow", None, (200, {"done": True}))
    run = api.start(url, "slow", wait=False)
    open_at(page, api, f"runs/{run['runId']}")
    expect(page.locator(".run-title .badge")).to_have_text("running")
    expect(page.locator(".bar.is-running").first).to_be_visible()

    endpoints.release()

    expect(page.locator(".run-title .badge")).to_have_text("succeeded")
    expect(page.locator(".row .bar.is-succeeded")).to_have_count(1)


def test_the_bar_of_a_settled_step_shrinks_while_its_run_goes_on(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    run = api.start(endpoints.serve("/slow", None, (200, 1)), "slow", wait=False)
    api.start(endpoints.serve("/step", (200, 1)), "slow", parent=run["id"])
    open_at(page, api, f"runs/{run['runId']}")
    bars = page.locator(".row .bar")
    expect(bars).to_have_count(2)
    where = """() => [...document.querySelectorAll(".row .bar")].map((bar) => {
        const { left, right } = bar.getBoundingClientRect();
        const lane = bar.parentNode.getBoundingClientRect();
        return [(left - lane.left) / lane.width, (right - lane.left) / lane.width];
    })"""
    (_, root_before), (step_before, _) = page.evaluate(where)
    page.wait_for_timeout(1500)
    (root_from, root_to), (step_after, _) = page.evaluate(where)
    # A running bar extends to the end of the axis, except for the space kept for what comes next.
    assert root_from == 0
    assert abs(root_to - root_before) < 0.02
    assert 0 < step_after < step_before


def test_the_next_retry_counts_down(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/down", (503, {"error": "down"}))
    retry = {"count": 3, "backOff": 60_000, "jitter": "none"}
    run = api.start(url, "down", wait=False, retry=retry)
    open_at(page, api, f"runs/{run['runId']}?step={run['id']}")
    mark = page.locator(".next")
    expect(mark).to_have_text(re.compile(r"retry in (1 min|5\d s)"))
    first = mark.inner_text()
    expect(mark).not_to_have_text(first)
    expect(page.get_by_role("complementary")).to_contain_text("Next retry")
    expect(page.get_by_role("complementary")).to_contain_text("the endpoint answered 503")


def test_a_delayed_step_shows_when_it_is_due(page: Page, api: Api) -> None:
    run = api.start("http://127.0.0.1:9/later", "nap", wait=False, delay=7_200_000)
    nap = {"kind": "timer", "stepName": "nap", "parent": run["id"]}
    timer = api.start("", "nap", wait=False, delay=3_600_000, **nap)
    open_at(page, api, f"runs/{run['runId']}?step={timer['id']}")
    panel = page.get_by_role("complementary")
    expect(page.locator(".next").last).to_have_text(re.compile("wakes in (1 h|59 min).*→$"))
    expect(panel).to_contain_text(re.compile("Wakes ?in (1 h|59 min)"))
    page.get_by_text("Details", exact=True).click()
    expect(panel).to_contain_text(timer["id"])
    for text in ("Attempts", "Attempt time-out", "Retry policy"):
        expect(panel).not_to_contain_text(text)
    api.post(f"/runs/{run['runId']}/cancel")
    expect(panel.locator("section").filter(has_text="Result")).to_contain_text("None.")


def test_a_step_shows_what_ends_it(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/order", (500, {"error": "sold out"}))
    run = api.start(url, "order", wait=False, onLost="fail", retry={"count": 0})
    event = {"kind": "event", "stepName": "report", "parent": run["id"], "heartbeat": 60_000}
    report = api.start("", "order", wait=False, **event)
    open_at(page, api, f"runs/{run['runId']}?step={report['id']}")
    panel = page.get_by_role("complementary")
    expect(panel).to_contain_text("Next heartbeat by")
    page.get_by_text("Details", exact=True).click()
    expect(panel).to_contain_text(report["id"])
    expect(panel).not_to_contain_text("Lost attempt")
    open_at(page, api, f"runs/{run['runId']}?step={run['id']}")
    page.get_by_text("Details", exact=True).click()
    expect(panel).to_contain_text(re.compile("Lost attempt ?fails the step"))


def test_a_failed_run_names_the_step_that_failed(page: Page, api: Api, endpoints: Endpoints) -> None:
    page_of = endpoints.serve("/pay", (410, {"detail": "no tax id"}))
    root = endpoints.serve("/order", None, (410, 0))
    run = api.start(root, "order-1", wait=False)
    api.start(page_of, "order-1", parent=run["id"])
    endpoints.release()
    open_at(page, api, f"runs/{run['runId']}")
    why = page.get_by_role("region", name="Why this run failed")
    expect(why).to_contain_text(re.compile("pay failed after 1 attempt *no tax id"))
    panel = page.get_by_role("complementary", name="Step pay")
    headings = panel.get_by_role("heading", level=3)
    expect(headings).to_have_text(["Input", "Response", "Attempts"])
    why.get_by_role("link", name="Go to step").click()
    expect(page).to_have_url(re.compile("step="))
    expect(why.get_by_role("link")).to_have_count(0)


def test_a_run_whose_code_changed_says_so_beside_the_builds_of_its_attempts(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    url = endpoints.serve("/order", (410, 0), (200, 1))
    endpoints.headers["Atomic-Build"] = "abc-1"
    run = api.start(url, "order-1")
    open_at(page, api, f"runs/{run['runId']}?step={run['id']}")
    row, panel = page.locator(".row"), page.get_by_role("complementary")
    attempts = panel.locator(".attempts li")
    expect(attempts).to_contain_text(["build abc-1"])
    for place in (page.locator(".run-title"), row, panel):
        expect(place.locator(".icon-warning")).to_have_count(0)

    endpoints.headers |= {"Atomic-Build": "abc-2", "Atomic-Unused-Results": "2"}
    api.post(f"/steps/{run['id']}/redrive")
    # A run that has ended is read again as seldom as tests wait.
    page.reload()
    expect(attempts).to_contain_text(["build abc-2", "build abc-1"])
    for place in (page.locator(".run-title"), panel):
        expect(place).to_contain_text("code changed? 2 results not used")
    expect(row.locator(".icon-warning")).to_have_count(1)
    expect(row).to_have_accessible_name(re.compile("code changed[?]"))


def test_other_runs_that_are_named_in_answers_are_linked(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    child = api.start(endpoints.serve("/child", (200, "fine")), "child", workflow="child")
    url = endpoints.serve("/parent", (200, {"started": child["runId"]}))
    parent = api.start(url, "parent", workflow="parent")
    open_at(page, api, f"runs/{parent['runId']}?step={parent['id']}")
    page.get_by_role("complementary").get_by_role("link", name=child["runId"]).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("child")


def test_the_overview_says_that_the_server_is_paused_and_goes_on(
    page: Page, endpoints: Endpoints, tmp_path: Path
) -> None:
    url = endpoints.serve("/kept", (200, 0))
    server = AtomicServer(tmp_path / "data", "--paused")
    server.start()
    try:
        api = Api(server.url, "kept")
        api.start(url, "kept", wait=False)
        open_at(page, api, "overview")
        said = page.get_by_role("status").filter(has_text="server")
        expect(said).to_have_text("The server is paused: it keeps everything and calls nothing.")
    finally:
        server.stop()
    again = AtomicServer(server.data_dir, "--calls-per-s-first=20", port=server.port)
    again.start()
    try:
        page.reload()
        expect(said).to_have_text(re.compile("goes on after a pause: at most [0-9]+ calls a second"))
        open_at(page, api, "runs")
        expect(page.get_by_text("succeeded").first).to_be_visible(timeout=30_000)
    finally:
        again.stop()
