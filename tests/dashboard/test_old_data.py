"""What a view shows of other filters while the answer for the chosen ones is on its way, or never comes."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at

ACTS = re.compile("^(Redrive|Dismiss|Take|Approve|Reject)")


def filled(api: Api, endpoints: Endpoints) -> str:
    """Failed runs of two workflows; the id of the cause of one of them."""
    gone = endpoints.serve("/gone", (410, {"error": "gone"}))
    for number in range(3):
        api.start(gone, f"a-{number}")
    api.start(gone, "b", workflow="other")
    causes = api.get("/causes?workflowName=order")["causes"]
    return str(causes[0]["id"])


def hold(page: Page, path: str) -> None:
    """Let no request to this path be answered."""
    page.route(re.compile(rf"/{path}[?]"), lambda _: None)


def assert_nothing_acts(page: Page) -> None:
    """The view says that it is loading, and neither its rows nor its head can be acted on."""
    expect(page.get_by_text(re.compile("^Loading")).first).to_be_attached()
    expect(page.get_by_role("main").get_by_role("button", name=ACTS)).to_have_count(0)
    expect(page.get_by_role("checkbox")).to_have_count(0)


def choose_tab(page: Page) -> None:
    page.get_by_role("link", name="Handled").click()


def choose_workflow(page: Page) -> None:
    page.get_by_label("Workflow").fill("other")
    page.wait_for_url(re.compile("workflow=other"))
    expect(page.get_by_label("Workflow")).to_be_focused()


def choose_times(page: Page) -> None:
    page.get_by_label("Started").select_option("custom")
    page.get_by_label("From (").fill("2020-01-02T03:04:05")
    page.get_by_label("From (").press("Enter")
    page.wait_for_url(re.compile("from="))


def choose_failed(page: Page) -> None:
    page.get_by_role("button", name="failed", exact=True).click()


LISTS = {
    "a tab of problems": ("problems", "causes", choose_tab),
    "a workflow of problems": ("problems", "causes", choose_workflow),
    "times of a problem": ("problems/{cause}", "runs", choose_times),
    "a state of runs": ("runs", "runs", choose_failed),
}


@pytest.mark.parametrize("name", LISTS)
def test_rows_of_other_filters_do_nothing(page: Page, api: Api, endpoints: Endpoints, name: str) -> None:
    view, path, choose = LISTS[name]
    cause = filled(api, endpoints)
    open_at(page, api, view.format(cause=cause))
    rows = page.locator("tbody tr")
    expect(rows.first).to_be_visible()
    number = rows.count()
    hold(page, path)
    choose(page)
    expect(page.locator("table")).to_have_attribute("aria-busy", "true")
    expect(page.locator("table")).to_have_class(re.compile(r"\bold\b"))
    expect(rows).to_have_count(number)
    assert_nothing_acts(page)
    expect(page.get_by_text(re.compile(r"\d (causes?|on this page)"))).to_have_count(0)
    page.unroute(re.compile(rf"/{path}[?]"))


@pytest.mark.parametrize("view", ["overview", "workflows/order"])
def test_charts_of_another_time_are_not_shown(
    page: Page, api: Api, endpoints: Endpoints, view: str
) -> None:
    filled(api, endpoints)
    open_at(page, api, view)
    expect(page.locator(".chart")).to_have_count(4)
    expect(page.get_by_text("Runs started since")).to_be_visible()
    hold(page, "counters")
    page.get_by_label("Time").select_option("30d")
    expect(page.locator(".chart")).to_have_count(0)
    expect(page.get_by_text("Runs started since")).to_have_count(0)
    assert_nothing_acts(page)
    page.get_by_label("Time").select_option("6h")
    expect(page.get_by_label("Time")).to_have_value("6h")


def open_events(api: Api, endpoints: Endpoints) -> None:
    for number in range(11):
        run = api.start("http://127.0.0.1:9/later", f"e-{number}", wait=False, delay=7_200_000)
        event = {"kind": "event", "stepName": "approval", "parent": run["id"]}
        api.start("", f"e-{number}", wait=False, **event)


def flow_keys(api: Api, endpoints: Endpoints) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(101):
        api.start(ok, f"f-{number}", wait=False, flow=[{"key": f"k-{number:03}", "concurrency": 1}])


PAGES = {
    "waiting": (open_events, "runs", "Older", ".events"),
    "flow": (flow_keys, "flow", "Next", ".list.flow"),
}


@pytest.mark.parametrize("view", PAGES)
def test_a_page_of_before_does_nothing(page: Page, api: Api, endpoints: Endpoints, view: str) -> None:
    fill: Callable[[Api, Endpoints], None]
    fill, path, older, shown = PAGES[view]
    fill(api, endpoints)
    open_at(page, api, view)
    turn = page.get_by_role("navigation", name="Pages").get_by_role("button", name=older)
    expect(turn).to_be_visible()
    hold(page, path)
    turn.click()
    expect(page.locator(shown)).to_have_attribute("aria-busy", "true")
    assert_nothing_acts(page)
    # It would lead on from the page of before.
    expect(turn).to_have_attribute("aria-disabled", "true")
    address = page.url
    turn.click(force=True)
    assert page.url == address


def test_a_server_that_is_away_leaves_no_rows_of_other_filters(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    filled(api, endpoints)
    open_at(page, api, "problems")
    expect(page.locator("tbody tr")).to_have_count(2)

    def away(route: Route) -> None:
        route.abort("connectionrefused")

    page.route(re.compile("/causes[?]"), away)
    choose_workflow(page)
    expect(page.get_by_role("heading", name="The server cannot be reached")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(0)
    page.unroute(re.compile("/causes[?]"), away)
    page.get_by_role("button", name="Try again now").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("button", name="Redrive 1 run of other")).to_be_visible()
