"""Filters, search, paging and links: the address holds the state of the view."""

import re

from playwright.sync_api import Browser, Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_search import chips_of, options_of, search
from dashboard.test_watching import open_at


def keys_of(page: Page) -> list[str]:
    return page.locator("td.c-key").all_inner_texts()


def test_runs_are_found_by_a_tag_of_one_of_them(page: Page, api: Api, endpoints: Endpoints) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(3):
        told = {"hooks": {"run.failed": ok}} if number == 1 else {}
        api.start(ok, f"k-{number}", tags={"customer": f"c-{number % 2}"}, **told)
    open_at(page, api, "runs?tag=customer:c-1")
    page.locator("tbody .row-link").click()
    expect(page.get_by_text("run.failed")).to_have_attribute("title", ok)
    page.get_by_role("link", name="customer:c-1").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("/runs?tag=customer%3Ac-1")


def test_runs_are_filtered_by_time(page: Page, api: Api, endpoints: Endpoints) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(2):
        api.start(ok, f"k-{number}")
    open_at(page, api, "runs?period=15m")
    expect(page.locator("tbody tr")).to_have_count(2)
    open_at(page, api, "runs?period=custom&from=2001-01-01T00:00:00.000Z&to=2002-01-01T00:00:00.000Z")
    expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()
    expect(page.get_by_label("From (")).to_have_value("2001-01-01T00:00")
    page.get_by_label("To (").fill("2100-01-01T00:00")
    page.get_by_label("To (").dispatch_event("change")
    expect(page.locator("tbody tr")).to_have_count(2)


def test_a_time_in_the_address_is_the_same_in_each_zone(
    browser: Browser, api: Api, endpoints: Endpoints
) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "k")
    context = browser.new_context(timezone_id="America/New_York")
    page = context.new_page()
    open_at(page, api, "runs?period=custom&from=2001-07-01T12:00:00.000Z&to=2100-01-01T00:00:00.000Z")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_label("From (")).to_have_value("2001-07-01T08:00")
    page.get_by_label("To (").fill("2001-07-01T09:00")
    page.get_by_label("To (").dispatch_event("change")
    expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()
    assert "to=2001-07-01T13%3A00%3A00.000Z" in page.url
    context.close()


def test_times_are_typed_by_the_clock_that_is_chosen(
    browser: Browser, api: Api, endpoints: Endpoints
) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "k")
    api.put_schedule("yearly", endpoints.url + "/ok", cron="0 12 1 1 *")
    context = browser.new_context(timezone_id="Asia/Tokyo")
    page = context.new_page()
    open_at(page, api, "runs?period=custom&from=2001-07-01T12:00:00.000Z")
    expect(page.get_by_label("From (local time)")).to_have_value("2001-07-01T21:00")
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_role("button", name="UTC").click()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(page.get_by_label("From (UTC)")).to_have_value("2001-07-01T12:00")
    page.get_by_label("To (UTC)").fill("2001-07-02T01:00")
    expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()
    assert "to=2001-07-02T01%3A00%3A00.000Z" in page.url

    open_at(page, api, "schedules/yearly")
    page.get_by_role("button", name="Backfill…").click()
    dialog = page.get_by_role("dialog", name="Backfill yearly")
    dialog.get_by_label("From (UTC)").fill("2020-01-01T11:59:00")
    dialog.get_by_label("Before (UTC)").fill("2020-01-01T12:01:00")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog.locator("li time")).to_have_attribute("datetime", "2020-01-01T12:00:00.000Z")
    context.close()


def test_an_id_in_the_search_field_leads_to_its_run(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/ok", (200, 1)), "k")
    open_at(page, api, "runs")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type(run["id"])
    expect(options_of(page)).to_have_text([f"Open {run['id']}"])
    page.keyboard.press("Enter")
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_role("complementary")).to_contain_text(run["id"])
    assert page.url.endswith(f"/runs/{run['runId']}?step={run['id']}")
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile(f"{run['runId']}$"))


def test_pages_go_back_and_forth(page: Page, api: Api, endpoints: Endpoints) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(60):
        api.start(ok, f"k-{number:02}")
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(50)
    assert keys_of(page) == [f"k-{number:02}" for number in range(59, 9, -1)]
    pager = page.get_by_role("navigation", name="Pages")
    expect(page.locator(".hits")).to_have_text("50+ runs")
    pager.get_by_role("button", name="Older").scroll_into_view_if_needed()
    pager.get_by_role("button", name="Older").click()
    expect(page.locator("tbody tr")).to_have_count(10)
    assert keys_of(page) == [f"k-{number:02}" for number in range(9, -1, -1)]
    expect(pager).to_contain_text("Runs 51 to 60")
    expect(page.locator(".hits")).to_have_text("60 runs")
    page.wait_for_function("scrollY === 0")
    pager.get_by_role("button", name="Newer").click()
    expect(page.locator("tbody tr")).to_have_count(50)
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(10)
    # After a reload, the way here is not known.
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(10)
    expect(pager.get_by_role("button", name="Newer")).to_have_count(0)
    pager.get_by_role("button", name="Newest").click()
    expect(page.locator("tbody tr")).to_have_count(50)


def test_everything_can_be_done_by_keyboard(page: Page, api: Api, endpoints: Endpoints) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(3):
        api.start(ok, f"k-{number}")
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("ArrowDown")
    first = page.get_by_role("row").filter(has_text="k-2").get_by_role("link")
    expect(first).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("x")
    for _ in ("the suggestions", "the text", "the field"):
        page.keyboard.press("Escape")
    expect(page.get_by_label("Search runs")).to_have_value("")
    page.keyboard.press("ArrowDown")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.locator(".run-head")).to_contain_text("k-1")
    page.locator(".row").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("step="))
    expect(page.get_by_role("complementary")).to_be_focused()
    page.go_back()
    expect(page).not_to_have_url(re.compile("step="))
    expect(page.locator(".run-head")).to_be_visible()


def test_going_back_from_a_step_leads_to_the_run_however_many_were_looked_at(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    run = api.start(endpoints.serve("/held", None, (200, 0)), "k", wait=False)
    for name in ("one", "two"):
        api.start(endpoints.serve(f"/{name}", (200, 0)), "k", parent=run["id"])
    open_at(page, api, f"runs/{run['runId']}")
    for name in ("one", "two", "one"):
        page.locator(".row").filter(has_text=name).click()
        expect(page.get_by_role("complementary", name=f"Step {name}")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("complementary", name="Run order")).to_be_visible()
    assert page.url.endswith(run["runId"])
    page.locator(".row").filter(has_text="one").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary", name="Run order")).to_be_visible()


def test_going_back_keeps_filters_and_position(page: Page, api: Api, endpoints: Endpoints) -> None:
    for number in range(30):
        api.start(endpoints.serve("/ok", (200, 1)), f"k-{number:02}")
    open_at(page, api, "runs")
    expect(page.locator("tbody tr")).to_have_count(30)
    search(page, "k- workflow:order")
    assert page.url.endswith("/runs?search=k-&workflow=order")
    expect(page.locator("tbody tr")).to_have_count(30)
    page.evaluate("scrollTo(0, 400)")
    page.get_by_role("row").filter(has_text="k-14").get_by_role("link").click()
    expect(page.locator(".run-head")).to_contain_text("k-14")
    page.get_by_role("link", name="← Runs").click()
    expect(page.locator("tbody tr")).to_have_count(30)
    expect(chips_of(page)).to_have_text(["key contains k-", "workflow:order"])
    page.wait_for_function("scrollY > 300")


def test_a_missing_run_has_a_message(page: Page, api: Api) -> None:
    open_at(page, api, "runs/run_" + "0" * 32)
    expect(page.get_by_role("button", name="Try again now")).to_be_visible()
    expect(page.get_by_text("Its retention may be over")).to_be_visible()
    page.get_by_role("link", name="What to do").click()
    expect(page).to_have_url(re.compile(r"/docs#not-found$"))
    expect(page.locator("#not-found")).to_contain_text("The answer is the same in all cases")


def test_a_period_without_a_time_is_no_filter(page: Page, api: Api) -> None:
    open_at(page, api, "runs?period=custom")
    expect(page.get_by_label("From (")).to_be_visible()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    open_at(page, api, "runs?period=custom&from=2026-01-01T00:00:00Z")
    expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()


def test_the_empty_list_shows_a_command_that_starts_a_run(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_at(page, api, "runs")
    expect(page.get_by_label("Command")).to_contain_text(f"curl '{api.server}/{api.client}'")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "hello-1" in copied
