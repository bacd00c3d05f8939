"""A page whose parts come late, not at all, or from a newer server."""

import re

from playwright.sync_api import Page, Route, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at

PART = re.compile("/joined-views-overview[.]js$")
STYLES = re.compile("/joined-lists[.]css$")
LATE_MS = 15_000


def test_a_part_that_does_not_come_is_asked_for_again(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "k")
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.route(PART, lambda route: route.abort())
    page.get_by_role("link", name="Overview").click()
    said = page.locator(".blank")
    expect(said).to_contain_text("A part of this page could not be loaded")
    # Another page can be opened meanwhile.
    page.get_by_role("link", name="Runs").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Overview").click()
    expect(said).to_be_visible()
    page.unroute(PART)
    said.get_by_role("button", name="Try again now").click()
    expect(page.locator(".chart").first).to_be_visible()


def test_no_error_is_left_over_when_neither_part_nor_styles_come(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    """The fixture of the page refuses an error that nothing has handled."""
    run = api.start(endpoints.serve("/ok", (200, 1)), "k")
    # The page of a run does without the styles of the lists.
    open_at(page, api, f"runs/{run['runId']}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.route(STYLES, lambda route: route.abort())
    page.route(PART, lambda route: route.abort())
    with page.expect_event("requestfailed", lambda request: STYLES.search(request.url) is not None):
        page.get_by_role("link", name="Overview").click()
    expect(page.locator(".blank")).to_contain_text("A part of this page could not be loaded")
    page.unroute(STYLES)
    page.unroute(PART)
    page.get_by_role("button", name="Try again now").click()
    expect(page.locator(".chart").first).to_be_visible()


def test_a_part_that_is_late_says_so_and_is_shown_when_it_comes(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "k")
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(1)
    held: list[Route] = []
    page.route(PART, lambda route: held.append(route))
    page.get_by_role("link", name="Overview").click()
    expect(page.locator(".blank")).to_contain_text("A part of this page is late", timeout=LATE_MS)
    held[0].continue_()
    expect(page.locator(".chart").first).to_be_visible()


def test_an_old_page_renews_itself_once_after_an_update(page: Page, api: Api, endpoints: Endpoints) -> None:
    """The page that is open is made to look as if an older server had sent it."""
    api.start(endpoints.serve("/ok", (200, 1)), "k")
    older = "v" + "0" * 16

    def of_an_older_server(route: Route) -> None:
        answer = route.fetch()
        body = re.sub("v[0-9a-f]{16}", older, answer.text())
        route.fulfill(response=answer, body=body)

    def of_another_version(route: Route) -> None:
        answer = route.fetch()
        body = re.sub('version: "[0-9a-f]{16}"', 'version: "older"', answer.text())
        route.fulfill(response=answer, body=body)

    page.route("**/dashboard", of_an_older_server, times=1)
    page.route(f"**/{older}/joined.js", of_another_version)
    loads: list[str] = []
    page.on("load", lambda _: loads.append(page.url))
    # The first part is refused, so the page is loaded anew, and is the newer one.
    open_at(page, api, "overview")
    expect(page.locator(".chart").first).to_be_visible()
    assert len(loads) == 2
    assert older not in page.content()


def test_a_page_that_stays_old_is_renewed_only_once(page: Page, api: Api) -> None:
    older = "v" + "0" * 16
    asked: list[str] = []

    def page_of_an_older_server(route: Route) -> None:
        # A page asks for it once more as the browser's navigation than by its script.
        if route.request.is_navigation_request():
            asked.append(route.request.url)
            answer = route.fetch()
            route.fulfill(response=answer, body=re.sub("v[0-9a-f]{16}", older, answer.text()))
        else:
            route.continue_()

    page.route("**/dashboard", page_of_an_older_server)
    page.route(PART, lambda route: route.fulfill(status=404))
    open_at(page, api, "overview")
    expect(page.locator(".blank")).to_contain_text("A part of this page could not be loaded")
    page.wait_for_timeout(1_000)
    assert len(asked) == 2


def test_a_page_without_its_script_says_so(page: Page, api: Api) -> None:
    page.route("**/joined.js", lambda route: route.abort())
    page.goto(f"{api.server}/dashboard")
    link = page.get_by_role("link", name="Load it again")
    expect(link).to_be_visible(timeout=LATE_MS)
    page.unroute("**/joined.js")
    link.click()
    expect(page.get_by_role("heading", name="Open a client")).to_be_visible()
