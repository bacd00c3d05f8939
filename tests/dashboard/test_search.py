"""The search field of the list of runs: what is entered is what is in force, and nothing else."""

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at


def field_of(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search runs")


def chips_of(page: Page) -> Locator:
    return page.get_by_role("list", name="Filters in force").locator("bdi")


def options_of(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Suggestions").get_by_role("option")


def search(page: Page, text: str) -> None:
    field_of(page).fill(text)
    field_of(page).press("Enter")


@pytest.fixture
def orders(api: Api, endpoints: Endpoints) -> None:
    """Runs of two workflows, one of which failed by 503 and one by 410."""
    ok, bad = endpoints.serve("/ok", (200, 1)), endpoints.serve("/bad", (410, 0))
    down = endpoints.serve("/down", (503, 0))
    for number in range(3):
        tags = {"customer": f"cus_{number}", "env": "test"}
        api.start(ok, f"order-1219{number}", workflow="order", tags=tags)
    api.start(bad, "order-20001", workflow="order", tags={"customer": "cus_1"})
    api.start(down, "invoice-1", workflow="check invoice", retry={"count": 0})


@pytest.mark.usefixtures("orders")
def test_runs_are_found_by_what_is_entered(page: Page, api: Api) -> None:
    open_at(page, api, "runs")
    rows = page.locator("tbody tr")
    for text, number, address in (
        ("12191", 1, "search=12191"),
        ("workflow:order status:failed", 1, "workflow=order&status=failed"),
        ("error:503", 1, "error=503"),
        ("workflow:order status:FAILED", 1, "workflow=order&status=failed"),
        ("error:endpoint_answered", 2, "error=endpoint_answered"),
        ("tag:customer=cus_1", 2, "tag=customer%3Acus_1"),
        ("tag:customer=cus_1 tag:env=test", 1, "tag=customer%3Acus_1&tag=env%3Atest"),
        ('workflow:"check invoice"', 1, "workflow=check+invoice"),
        ("dismissed:false", 2, "dismissed=false"),
        ("order-1 workflow:order tag:env=test", 3, "search=order-1&workflow=order&tag=env%3Atest"),
    ):
        search(page, text)
        expect(rows).to_have_count(number)
        assert page.url.endswith(f"/runs?{address}"), text
        expect(page.locator(".hits")).to_have_text("1 run" if number == 1 else f"{number} runs")
        expect(field_of(page)).to_have_value("")
        page.reload()
        expect(rows).to_have_count(number)
        page.get_by_role("button", name="Clear filters").first.click()
        expect(rows).to_have_count(5)
        assert page.url.endswith("/runs")


@pytest.mark.usefixtures("orders")
def test_chips_are_the_filters_in_force(page: Page, api: Api) -> None:
    open_at(page, api, "runs")
    search(page, "tag:customer=cus_1")
    search(page, "tag:env=test")
    search(page, "status:succeeded")
    expect(chips_of(page)).to_have_text(["status:succeeded", "tag:customer=cus_1", "tag:env=test"])
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Remove tag:env=test").click()
    page.get_by_role("button", name="Remove status:succeeded").click()
    expect(chips_of(page)).to_have_text(["tag:customer=cus_1"])
    expect(page.locator("tbody tr")).to_have_count(2)
    page.go_back()
    expect(chips_of(page)).to_have_text(["status:succeeded", "tag:customer=cus_1"])
    expect(page.locator("tbody tr")).to_have_count(1)
    field_of(page).press("Backspace")
    expect(chips_of(page)).to_have_text(["status:succeeded"])
    expect(page.locator("tbody tr")).to_have_count(3)
    # One filter excludes another: a run that has succeeded waits for nothing.
    search(page, "waits:timer")
    expect(chips_of(page)).to_have_text(["waits:timer"])
    expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()


@pytest.mark.usefixtures("orders")
def test_what_cannot_be_searched_says_why_and_changes_nothing(page: Page, api: Api) -> None:
    open_at(page, api, "runs?workflow=order")
    for text, said in (
        ("status:done", "“done” is no value of status. Use pending, running,"),
        ("error:7", "“7” is no value of error."),
        ("tag:customer", "“customer” is no value of tag. Use name=value."),
        ("one two", "Search for one text at a time."),
        ("workflow:order workflow:invoice", "Search for one workflow at a time. “workflow:invoice” is"),
        ("waits:timer status:paused", "Search for one waits at a time. “status:paused” is"),
        ("workflow:", "Type a value after “workflow:”."),
        ("status:failed waits:retry", "A failed run waits for nothing. Search for one of both."),
        ("status:failed status:paused", "A failed run waits for nothing. Search for one of both."),
        ("status:retrying waits:timer", "A run that is retrying waits for a retry. Search for one"),
        ("status:succeeded dismissed:false", "Only failed runs have a cause or are dismissed."),
        ("waits:timer dismissed:true", "Only failed runs have a cause or are dismissed."),
    ):
        search(page, text)
        expect(page.locator("#search-note")).to_contain_text(said)
        expect(field_of(page)).to_have_attribute("aria-invalid", "true")
        expect(chips_of(page)).to_have_text(["workflow:order"])
    assert page.url.endswith("/runs?workflow=order")
    field_of(page).fill("typed")
    page.get_by_role("heading", level=1).click()
    expect(page.locator("#search-note")).to_have_text("Not searched yet: press Enter.")


@pytest.mark.usefixtures("orders")
def test_names_that_are_on_no_row_are_suggested(page: Page, api: Api) -> None:
    open_at(page, api, "runs?workflow=order")
    field_of(page).press_sequentially("chec")
    option = options_of(page).filter(has_text="check invoice")
    expect(option).to_be_visible()
    expect(options_of(page).first).to_have_text("Key contains “chec”")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    assert field_of(page).get_attribute("aria-activedescendant") == option.get_attribute("id")
    page.keyboard.press("Enter")
    expect(chips_of(page)).to_have_text(['workflow:"check invoice"'])
    expect(options_of(page)).to_have_count(0)
    # The name of a field asks for its value.
    field_of(page).press_sequentially("tag")
    options_of(page).filter(has_text="name=value").click()
    expect(field_of(page)).to_have_value("tag:")
    expect(options_of(page)).to_have_count(0)
    page.keyboard.press("Escape")
    expect(field_of(page)).to_have_value("")
    expect(options_of(page)).to_have_count(0)
    page.keyboard.press("ArrowDown")
    expect(options_of(page).first).to_be_visible()
    page.keyboard.press("Escape")
    expect(options_of(page)).to_have_count(0)


@pytest.mark.usefixtures("orders")
def test_a_part_of_the_name_of_a_workflow_is_enough(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "reorder-1", workflow="reorder")
    open_at(page, api, "runs")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(6)
    field_of(page).fill("workflow:voice")
    expect(options_of(page)).to_have_text(['workflow:"check invoice"workflow'])
    field_of(page).press("Enter")
    expect(chips_of(page)).to_have_text(['workflow:"check invoice"'])
    expect(rows).to_have_count(1)
    search(page, "workflow:rde")
    expect(page.locator("#search-note")).to_contain_text("2 workflows have “rde” in their name.")
    expect(options_of(page)).to_have_text(["workflow:orderworkflow", "workflow:reorderworkflow"])
    options_of(page).last.click()
    expect(chips_of(page)).to_have_text(["workflow:reorder"])
    # A whole name is not a part of another one, nor is a name in quotes.
    search(page, "workflow:order")
    expect(chips_of(page)).to_have_text(["workflow:order"])
    expect(rows).to_have_count(4)
    search(page, 'workflow:"rde"')
    expect(chips_of(page)).to_have_text(["workflow:rde"])
    expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()


@pytest.mark.usefixtures("orders")
def test_a_recent_search_is_the_same_search_again(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "reorder-1", workflow="reorder")
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(6)
    # Two workflows have one of these names as a part, one has the other.
    for name in ("rde", "voice"):
        search(page, f'workflow:"{name}"')
        expect(chips_of(page)).to_have_text([f"workflow:{name}"])
        page.get_by_role("button", name="Clear filters").first.click()
        expect(chips_of(page)).to_have_count(0)
        field_of(page).focus()
        options_of(page).filter(has_text="recent").first.click()
        expect(chips_of(page)).to_have_text([f"workflow:{name}"])
        expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()


@pytest.mark.usefixtures("orders")
def test_a_part_of_a_name_waits_until_the_names_are_known(page: Page, api: Api) -> None:
    held: list[Route] = []
    page.route("**/workflows?**", lambda route: held.append(route))
    # No row has the name that is looked for.
    open_at(page, api, "runs?workflow=order")
    expect(page.locator("tbody tr")).to_have_count(4)
    note = page.locator("#search-note")
    search(page, "workflow:voice")
    expect(note).to_have_text("Looking up names…")
    assert page.url.endswith("/runs?workflow=order")
    held.pop().abort()
    expect(note).to_contain_text("The names of workflows cannot be read: The server cannot be reached.")
    expect(field_of(page)).to_have_value("workflow:voice")
    assert page.url.endswith("/runs?workflow=order")
    # Enter asks for the names again, and what is typed in the meantime counts.
    field_of(page).press("Enter")
    expect(note).to_have_text("Looking up names…")
    search(page, "workflow:voice 1")
    expect(note).to_have_text("Looking up names…")
    held.pop().continue_()
    expect(chips_of(page)).to_have_text(["key contains 1", 'workflow:"check invoice"'])
    expect(page.locator("tbody tr")).to_have_count(1)
    assert not held


@pytest.mark.usefixtures("orders")
def test_a_search_that_waits_for_names_does_not_reach_another_page(page: Page, api: Api) -> None:
    held: list[Route] = []
    open_at(page, api, "runs?workflow=order")
    expect(page.locator("tbody tr")).to_have_count(4)
    page.route("**/workflows?**", lambda route: held.append(route))
    search(page, "workflow:voice")
    expect(page.locator("#search-note")).to_have_text("Looking up names…")
    page.get_by_role("link", name="Problems").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Problems")
    with page.expect_response("**/workflows?**"):
        held.pop().continue_()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert page.url.endswith("/problems")


@pytest.mark.usefixtures("orders")
def test_a_search_for_nothing_is_not_offered_again(page: Page, api: Api) -> None:
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(5)
    search(page, "12191")
    expect(chips_of(page)).to_have_text(["key contains 12191"])
    page.get_by_role("button", name="Clear filters").first.click()
    search(page, '""')
    expect(field_of(page)).to_have_value("")
    recent = options_of(page).filter(has_text="recent")
    page.get_by_role("heading", level=1).click()
    field_of(page).focus()
    expect(recent.locator(".option-label")).to_have_text(["12191"])
    # An older version has stored empty ones.
    page.evaluate("""() => {
      const place = Object.keys(localStorage).find((name) => localStorage[name] === '["12191"]');
      localStorage[place] = '["","12191"]';
    }""")
    page.reload()
    field_of(page).focus()
    expect(recent.locator(".option-label")).to_have_text(["12191"])


@pytest.mark.usefixtures("orders")
def test_recent_searches_are_those_of_this_client(page: Page, api: Api) -> None:
    open_at(page, api, "runs")
    search(page, "workflow:order 12191")
    expect(page.locator("tbody tr")).to_have_count(1)
    search(page, "status:succeeded")
    page.get_by_role("heading", level=1).click()
    field_of(page).focus()
    recent = options_of(page).filter(has_text="recent")
    expect(recent.locator(".option-label")).to_have_text(
        ["12191 workflow:order status:succeeded", "12191 workflow:order"]
    )
    recent.last.click()
    expect(chips_of(page)).to_have_text(["key contains 12191", "workflow:order"])
    page.evaluate("location.hash = '#/nobody/runs'")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    field_of(page).focus()
    expect(options_of(page).first).to_be_visible()
    expect(recent).to_have_count(0)
    expect(options_of(page).filter(has_text="order")).to_have_count(0)


@pytest.mark.usefixtures("orders")
def test_a_new_filter_shows_that_it_is_loading(page: Page, api: Api) -> None:
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(5)
    # The request gets no answer.
    page.route("**/runs?*status=failed**", lambda _: None)
    with page.expect_request("**/runs?*status=failed**"):
        page.get_by_role("button", name="failed").click()
    expect(page.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    expect(page.locator("table")).to_have_attribute("aria-busy", "true")
    expect(page.locator("tbody tr")).to_have_count(5)
    page.unroute("**/runs?*status=failed**")
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("table")).not_to_have_attribute("aria-busy", "true")


@pytest.mark.usefixtures("orders")
def test_runs_that_were_not_compared_yet_are_not_said_to_be_absent(page: Page, api: Api) -> None:
    cursor = api.get("/runs?limit=4")["next"]

    def shortened(route: Route) -> None:
        if "cursor" in route.request.url:
            route.continue_()
        else:
            route.fulfill(json={"runs": [], "next": cursor})

    page.route("**/runs?**responseStatus=503**", shortened)
    open_at(page, api, "runs?error=503")
    expect(page.get_by_role("heading", name="No run fits so far")).to_be_visible()
    expect(page.locator(".hits")).to_have_text("0+ runs")
    page.get_by_role("button", name="Search older runs").click()
    expect(page.get_by_role("heading", name="No older runs")).to_be_visible()


@pytest.mark.usefixtures("orders")
def test_what_looks_like_a_tag_is_offered_as_one(page: Page, api: Api) -> None:
    open_at(page, api, "runs")
    field_of(page).fill("customer:cus_1")
    expect(options_of(page)).to_have_text(["Key contains “customer:cus_1”", "tag:customer=cus_1tag"])
    options_of(page).last.click()
    expect(chips_of(page)).to_have_text(["tag:customer=cus_1"])
    expect(page.locator("tbody tr")).to_have_count(2)


def test_paused_runs_and_failures_behind_a_wrapper_are_found(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    busy = endpoints.serve("/busy", (503, 0))
    paused = api.start(busy, "rests", wait=False, retry={"count": 9, "backOff": 600_000})
    api.post(f"/runs/{paused['runId']}/pause")
    handler = endpoints.serve("/order", None, (500, {"error": "step charge failed"}))
    wrapped = api.start(handler, "wrapped", wait=False, retry={"count": 0})
    declined = endpoints.serve("/charge", (402, {"error": "card declined"}))
    api.start(declined, "charge", parent=wrapped["id"], stepName="charge", retry={"count": 0})
    endpoints.release()
    open_at(page, api, "runs?status=failed")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(1)
    open_at(page, api, "runs")
    search(page, "status:Paused")
    expect(chips_of(page)).to_have_text(["waits:resume"])
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("rests")
    page.get_by_role("button", name="Clear filters").first.click()
    search(page, "error:402")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("wrapped")
