"""The page of a run by keyboard, on a phone, in high contrast, and in another time zone."""

import re
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_access import assert_accessible
from dashboard.test_watching import open_at

PHONE = {"width": 390, "height": 844}
TARGET_MIN_PX = 44


@pytest.fixture
def fan_out(api: Api, endpoints: Endpoints) -> tuple[Any, list[Any]]:
    """A live run with steps of thirty names, the last of which failed."""
    run = api.start(endpoints.serve("/busy", (503, 0)), "feed", wait=False, retry={"count": 9})
    ok, bad = endpoints.serve("/ok", (200, {"fine": 1})), endpoints.serve("/bad", (410, {"no": "more"}))
    steps = [
        api.start(url, f"{at}", parent=run["id"], stepName=f"step {at}", payload={"deep": {"at": at}})
        for at in range(30)
        for url in (bad if at == 29 else ok,)
    ]
    return run, steps


def test_enter_moves_into_the_panel_and_escape_back_to_the_row(page: Page, api: Api, fan_out: Any) -> None:
    run, steps = fan_out
    open_at(page, api, f"runs/{run['runId']}")
    row = page.locator(f'[data-step="{steps[3]["id"]}"]')
    row.focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Step step 3")
    expect(panel).to_be_focused()
    page.keyboard.press("Tab")
    assert panel.evaluate("panel => panel.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(row).to_be_focused()
    expect(page).not_to_have_url(re.compile("step="))
    page.keyboard.press("ArrowDown")
    expect(page.locator(f'[data-step="{steps[4]["id"]}"]')).to_be_focused()


def test_escape_leads_from_a_run_to_its_row(page: Page, api: Api, endpoints: Endpoints) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(40):
        api.start(ok, f"key-{number}", workflow=f"bill-{number}")
    open_at(page, api, "runs?status=succeeded")
    row = page.get_by_role("link", name="bill-3", exact=True)
    row.scroll_into_view_if_needed()
    at = page.evaluate("scrollY")
    assert at > 0
    row.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="bill-3")).to_be_focused()
    page.locator(".row").first.click()
    expect(page).to_have_url(re.compile("step="))
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("step="))
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("/runs[?]status=succeeded$"))
    expect(row).to_be_focused()
    expect(row).to_be_in_viewport()
    # A dialog takes the key for itself.
    open_at(page, api, "problems")
    expect(page.get_by_role("heading", level=1, name="Problems")).to_be_visible()
    run = api.start(endpoints.serve("/bad", (410, 0)), "bad")
    open_at(page, api, f"runs/{run['runId']}")
    page.get_by_role("button", name="Redrive run").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", level=1, name="order")).to_be_visible()
    # The list that was shown before has no such row.
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", level=1, name="Problems")).to_be_visible()


@pytest.mark.parametrize("key", ["/", "Control+k", "Meta+k"])
def test_the_search_is_one_key_away_on_every_page(
    page: Page, api: Api, endpoints: Endpoints, key: str
) -> None:
    run = api.start(endpoints.serve("/bad", (410, 0)), "k")
    cause = api.get("/causes")["causes"][0]["id"]
    places = ["overview", "problems", f"problems/{cause}", "waiting", "workflows/order", "start", "runs"]
    for place in [*places, f"runs/{run['runId']}"]:
        open_at(page, api, place)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.locator("body").press(key)
        expect(page.get_by_label("Search runs")).to_be_focused()
    page.keyboard.type("k")
    expect(page.get_by_label("Search runs")).to_have_value("k")
    open_at(page, api, "start")
    field = page.get_by_label("Workflow")
    field.press(key)
    if key == "/":
        expect(field).to_have_value("/")
    else:
        expect(page.get_by_label("Search runs")).to_be_focused()


def test_the_heading_has_the_focus_on_each_page_that_is_opened(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "one", workflow="bill")
    open_at(page, api, "runs")
    page.get_by_role("link", name="bill").click()
    expect(page.get_by_role("heading", level=1, name="bill")).to_be_focused()
    page.get_by_role("link", name="← Runs").click()
    expect(page.get_by_role("heading", level=1, name="Runs")).to_be_focused()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="bill")).to_be_focused()


def test_help_names_the_keys_and_times_may_be_utc(browser: Browser, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/ok", (200, 1)), "one")
    context = browser.new_context(timezone_id="Asia/Tokyo")
    page = context.new_page()
    open_at(page, api, f"runs/{run['runId']}")
    started = page.locator(".run-head time")
    expect(started).to_have_attribute("title", re.compile("GMT[+]9|JST"))
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard")
    expect(dialog).to_contain_text("Move in a list")
    dialog.get_by_role("button", name="UTC").click()
    assert_accessible(page, "help")
    dialog.get_by_role("button", name="Close").click()
    expect(started).to_have_attribute("title", re.compile("UTC"))
    page.reload()
    expect(started).to_have_attribute("title", re.compile("UTC"))
    context.close()


def test_on_a_phone_the_panel_is_a_sheet_and_the_page_keeps_its_place(
    browser: Browser, api: Api, fan_out: Any
) -> None:
    run, steps = fan_out
    context = browser.new_context(viewport=PHONE, has_touch=True, reduced_motion="reduce")
    page = context.new_page()
    open_at(page, api, f"runs/{run['runId']}")
    panel = page.get_by_role("complementary")
    expect(page.locator(".row").first).to_be_visible()
    expect(panel).to_be_hidden()
    row = page.locator(f'[data-step="{steps[12]["id"]}"]')
    # Rows far below the window are not in the page.
    page.locator(".row").first.scroll_into_view_if_needed()
    row.scroll_into_view_if_needed()
    page.evaluate("scrollBy(0, 300)")
    before = page.evaluate("scrollY")
    row.tap()
    expect(panel).to_be_in_viewport()
    expect(row).to_be_in_viewport()
    box = panel.bounding_box()
    assert box is not None
    assert box["y"] > PHONE["height"] * 0.3
    assert abs(page.evaluate("scrollY") - before) < PHONE["height"]
    at = page.evaluate("scrollY")
    assert_accessible(page, "sheet")
    small = """least => [...document.querySelectorAll(".panel button, summary, .run-head button, .row")]
        .filter((each) => each.offsetParent && each.getBoundingClientRect().height < least)
        .map((each) => each.outerHTML.slice(0, 90))"""
    assert [each for each in page.evaluate(small, TARGET_MIN_PX) if "json-fold" not in each] == []
    page.get_by_role("button", name="Close the step").click()
    expect(panel).to_be_hidden()
    assert page.evaluate("scrollY") == at
    context.close()


def test_in_forced_colours_the_bars_are_seen(browser: Browser, api: Api, fan_out: Any) -> None:
    run, steps = fan_out
    context = browser.new_context(forced_colors="active", reduced_motion="reduce")
    page = context.new_page()
    open_at(page, api, f"runs/{run['runId']}?step={steps[29]['id']}")
    expect(page.locator(".row").first).to_be_visible()
    expect(page.locator(".row .bar.is-permanent")).to_have_count(1)
    colours = """() => [".bar.is-permanent", ".bar.is-succeeded"].map((name) =>
        getComputedStyle(document.querySelector(`.row ${name}`)).backgroundColor)"""
    bad, good = page.evaluate(colours)
    assert bad != good
    canvas = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert canvas not in {bad, good}
    assert_accessible(page, "forced colours")
    context.close()


def test_axe_finds_no_problem_in_what_is_new(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/busy", (503, 0)), "waits", wait=False, retry={"count": 9})
    ok = endpoints.serve("/ok", (200, {"a": {"b": [1, 2]}}))
    for at in range(12):
        api.start(ok, f"{at}", parent=run["id"], stepName="resize")
    event = api.start("", "waits", parent=run["id"], wait=False, kind="event", stepName="approval")
    bad = endpoints.serve("/bad", (500, {"detail": "busy"}), (410, {"stack": "a\\n  b"}))
    ended = api.start(bad, "ended", payload={"a": {"b": 1}}, retry={"count": 1, "backOff": 1})
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        open_at(page, api, f"runs/{run['runId']}?step={event['id']}")
        page.get_by_role("button", name="Send JSON…").click()
        page.get_by_label("Result, as JSON").fill("{")
        assert_accessible(page, f"an answer, {scheme}")
        page.keyboard.press("Escape")
        assert_accessible(page, f"the question before a text is lost, {scheme}")
        page.get_by_role("button", name="Lose the text").click()
        page.get_by_role("button", name=re.compile("resize, 12 steps")).click()
        assert_accessible(page, f"an open event, {scheme}")
        open_at(page, api, f"runs/{ended['runId']}")
        page.get_by_text("Details", exact=True).click()
        page.get_by_text("Compare two attempts").click()
        expect(page.locator("mark").first).to_be_visible()
        assert_accessible(page, f"a failed run, {scheme}")
        page.get_by_role("button", name="Restart with edited input…").click()
        assert_accessible(page, f"the editor, {scheme}")
