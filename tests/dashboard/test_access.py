"""Accessibility: axe finds no problem in any view, in light and dark, wide and narrow."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_search import options_of
from dashboard.test_watching import open_at

PAYLOAD = {"payload": {"of": "sales"}}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def assert_accessible(page: Page, where: str, *, covered: str = "") -> None:
    """`covered` is what another part may stand over, whatever its height, until the page is scrolled."""
    context = {"exclude": [[covered]]} if covered else None
    found = Axe().run(page, context, {"runOnly": RULES}).response["violations"]
    said = [(rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found]
    assert said == [], where


@pytest.fixture
def views(api: Api, endpoints: Endpoints) -> dict[str, str]:
    """Every view, with data, by name; with a selector that must be present before axe runs."""
    ok, bad = endpoints.serve("/ok", (200, {"fine": [1, 2]})), endpoints.serve("/bad", (410, {"no": 1}))
    flaky, down = endpoints.serve("/flaky", (500, 0), (200, 1)), endpoints.serve("/down", (503, 0))
    api.start(ok, "ok")
    bad_run = api.start(bad, "bad")
    api.start(flaky, "flaky", retry={"count": 2, "backOff": 1})
    api.start(endpoints.serve("/held", None, (200, 0)), "held", wait=False)
    payload = {"kinds": ["word", -1.5, None, True], "text": "word " * 300}
    retry = {"count": 2, "backOff": 600_000, "jitter": "none"}
    down_run = api.start(down, "down", wait=False, retry=retry, payload=payload)
    more = {"parent": down_run["id"], "stepName": "lost", "retry": {"count": 0}}
    api.start(endpoints.serve("/lost", (410, {"error": "lost"})), "down", **more)
    api.put_schedule("digest", ok, cron="0 8 * * MON-FRI", timeZone="Europe/Berlin", overlap="queue")
    api.put_schedule("held", ok, every=60_000, paused=True, note="audit until Friday", start=PAYLOAD)
    api.put_schedule("pulse", bad, every=1000, limit=2)
    # Below a run that lasts: an endpoint that holds a call lets go of it after half a minute.
    api.start("", "down", parent=down_run["id"], kind="event", stepName="approve", wait=False)
    api.put("/flow/smtp", concurrency=3, paused=True, note="slow")
    api.put("/flow/free", rate={"limit": 5, "per": 1000})
    for fair in ("ada", "bob"):
        api.start(ok, f"in-line-{fair}", wait=False, flow=[{"key": "smtp", "fair": fair}])
    return {
        "runs": "tbody tr",
        "runs?status=cancelled": ".blank",
        "runs?workflow=order&tag=a:1&tag=b:2&waits=timer&period=custom": ".filter-chip",
        "overview": ".chart",
        "problems": "tbody tr",
        "problems?state=handled": ".blank",
        "waiting": ".event",
        "workflows/order": ".causes-list",
        "schedules": "tbody tr",
        "schedules?find=none": ".blank",
        "schedules/digest": ".times tbody tr",
        "schedules/held": ".paused-bar",
        "schedules/pulse": ".runs tbody tr",
        "start": "form.start",
        "flow": ".endpoints tbody tr",
        "flow/smtp": ".flow-steps tbody tr",
        "flow/unknown": ".blank",
        f"runs/{bad_run['runId']}?step={bad_run['id']}": ".panel",
        f"runs/{down_run['runId']}?step={down_run['id']}": ".next",
        "runs/run_" + "0" * 32: ".blank",
    }


@pytest.mark.long
def test_axe_finds_no_problem(page: Page, api: Api, views: dict[str, str]) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")
    look_at_all(page, api, views, "light and wide")
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    filled = {view: there for view, there in views.items() if there != ".blank"}
    look_at_all(page, api, filled, "dark and narrow")
    page.emulate_media(forced_colors="active")
    look_at_a_problem(page, api, "forced colours")
    look_at_a_flow_key(page, api, "forced colours")
    look_at_a_live_run(page, api, "forced colours")


def test_forced_colours_lose_nothing(page: Page, api: Api, views: dict[str, str]) -> None:
    page.emulate_media(forced_colors="active")
    lists = ("runs?status=failed", "overview", "workflows/order", "schedules", "schedules/held")
    for view in (*lists, "waiting", "start", "flow"):
        open_at(page, api, view)
        expect(page.locator(views.get(view, "tbody tr")).first).to_be_visible()
        assert_accessible(page, f"{view}, forced colours")
    look_at_an_event(page, api, "forced colours")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("UTC")
    assert_accessible(page, "help, forced colours")
    page.keyboard.press("Escape")
    open_at(page, api, "workflows/order")
    swatches = page.locator(".chart .swatch")
    expect(swatches.first).to_be_visible()
    colours = swatches.evaluate_all("all => all.map((each) => getComputedStyle(each).backgroundColor)")
    assert len(set(colours)) >= 4
    bars = page.locator(".chart").first.locator("rect")
    fills = bars.evaluate_all("all => all.map((each) => getComputedStyle(each).fill)")
    assert len(set(fills)) == 3
    open_at(page, api, "runs?status=failed")
    pressed = page.get_by_role("button", name="failed", exact=True)
    others = page.get_by_role("button", name="succeeded", exact=True)
    assert look_of(pressed) != look_of(others)
    assert_bars_differ(page, api)


def look_of(elements: Locator) -> list[str]:
    """The look of each element: ground, pattern, border, height, line."""
    looks: list[str] = elements.evaluate_all(
        """all => all.map((each) => {
          const look = getComputedStyle(each);
          return [look.backgroundColor, look.backgroundImage, look.borderStyle, look.height,
                  look.textDecorationLine].join(" ");
        })"""
    )
    return looks


def assert_bars_differ(page: Page, api: Api) -> None:
    """No two kinds of bars of a run look alike, and the page that is shown is marked in the header."""
    down = api.get("/runs?keyContains=down")["runs"][0]
    open_at(page, api, f"runs/{down['runId']}")
    legend = page.locator(".waterfall .legend .bar")
    expect(legend).to_have_count(8)
    assert len(set(look_of(legend))) == 8
    pages = page.locator(".top nav > a:visible")
    assert len(set(look_of(pages))) == 2
    assert "underline" in look_of(page.locator(".top nav [aria-current]"))[0]


def test_a_list_that_is_replaced_can_still_be_read(page: Page, api: Api, views: dict[str, str]) -> None:
    open_at(page, api, "runs")
    expect(page.locator(views["runs"]).first).to_be_visible()
    page.route("**/runs?*status=failed**", lambda _: None)
    page.get_by_role("button", name="failed", exact=True).click()
    expect(page.locator("table")).to_have_attribute("aria-busy", "true")
    assert_accessible(page, "an old list")


def look_at_all(page: Page, api: Api, views: dict[str, str], how: str) -> None:
    for view, there in views.items():
        open_at(page, api, view)
        expect(page.locator(there).first).to_be_visible()
        # On a phone, the panel of a step is a sheet, and covers a part of the head.
        covered = ".run-head" if "narrow" in how and "?step=" in view else ""
        assert_accessible(page, f"{view}, {how}", covered=covered)
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, f"{view} is {overflow} px too wide, {how}"
    look_at_an_event(page, api, how)
    look_at_a_problem(page, api, how)
    look_at_a_flow_key(page, api, how)
    look_at_a_live_run(page, api, how)
    open_at(page, api, "runs")
    page.get_by_label("Search runs").fill("or")
    page.keyboard.press("ArrowDown")
    expect(options_of(page).first).to_be_visible()
    assert_accessible(page, f"suggestions, {how}")
    page.get_by_label("Search runs").fill("status:none")
    page.keyboard.press("Enter")
    assert_accessible(page, f"a wrong search, {how}")
    open_at(page, api, "overview")
    # What was clicked before may have left the pointer above another bar.
    page.mouse.move(0, 0)
    page.locator(".plot-links a").last.focus()
    expect(page.locator(".tip")).to_be_visible()
    assert_accessible(page, f"numbers of a bar, {how}")
    open_at(page, api, "workflows/order")
    page.get_by_role("button", name="Pause workflow…").click()
    expect(page.get_by_label("Why?")).to_be_visible()
    assert_accessible(page, f"pause of a workflow, {how}")
    look_at_a_backfill(page, api, how)
    open_at(page, api, "start")
    page.get_by_role("button", name=api.client).click()
    expect(page.get_by_role("dialog", name=f"Client {api.client}")).to_be_visible()
    assert_accessible(page, f"client, {how}")
    page.goto(f"{api.server}/dashboard#/")
    expect(page.get_by_role("heading", name="Open a client")).to_be_visible()
    assert_accessible(page, f"sign-in, {how}")


def look_at_a_live_run(page: Page, api: Api, how: str) -> None:
    """One that goes on although a step has failed, then paused; JSON with all kinds of values, searched."""
    down = api.get("/runs?keyContains=down")["runs"][0]
    open_at(page, api, f"runs/{down['runId']}")
    expect(page.get_by_role("region", name="What failed in this run")).to_be_visible()
    assert_accessible(page, f"what failed in a live run, {how}")
    api.post(f"/runs/{down['runId']}/pause")
    expect(page.locator(".next").first).to_contain_text("paused for")
    assert_accessible(page, f"a paused run, {how}")
    api.post(f"/runs/{down['runId']}/resume")
    open_at(page, api, f"runs/{down['runId']}?step={down['id']}")
    page.get_by_role("button", name="Find in Input").click()
    page.get_by_role("textbox", name="Find in Input").fill("word")
    expect(page.locator("mark.here")).to_be_visible()
    assert_accessible(page, f"a search in JSON, {how}", covered=".run-head")


def look_at_a_flow_key(page: Page, api: Api, how: str) -> None:
    """The dialogs about a key of flow control, and the limits of the client."""
    open_at(page, api, "flow/smtp")
    page.get_by_role("button", name="Pin…").click()
    page.get_by_label("Begin at most").fill("5")
    expect(page.get_by_role("alert")).to_be_visible()
    assert_accessible(page, f"pin, {how}")
    page.keyboard.press("Escape")
    open_at(page, api, "flow/free")
    page.get_by_role("button", name="Pause key…").click()
    expect(page.get_by_label("Why?")).to_be_visible()
    assert_accessible(page, f"pause of a key, {how}")
    page.keyboard.press("Escape")
    open_at(page, api, "flow")
    page.get_by_text("Limits of this client").click()
    assert_accessible(page, f"limits, {how}", covered=".job")


def look_at_an_event(page: Page, api: Api, how: str) -> None:
    """The dialogs in which somebody types an answer."""
    for button in ("Reject…", "Send JSON…"):
        open_at(page, api, "waiting")
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert_accessible(page, f"{button}, {how}")
        page.keyboard.press("Escape")


def look_at_a_backfill(page: Page, api: Api, how: str) -> None:
    """The dialog with times, what became of them, and the menu of the header."""
    open_at(page, api, "schedules/held")
    page.get_by_role("button", name="Backfill…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog.locator("li").first).to_be_visible()
    assert_accessible(page, f"times of a backfill, {how}")
    page.keyboard.press("Escape")
    open_at(page, api, "schedules/digest")
    page.get_by_role("button", name="Backfill…").click()
    # Each look starts other runs.
    year = 2020 if "wide" in how else 2021
    dialog.get_by_label("From").fill(f"{year}-01-06T00:00:00")
    dialog.get_by_label("Before").fill(f"{year}-01-08T00:00:00")
    dialog.get_by_role("button", name="Show the times").click()
    dialog.get_by_role("button", name="Start").click()
    expect(dialog).to_contain_text("existed.")
    assert_accessible(page, f"result of a backfill, {how}")
    dialog.get_by_role("button", name="Close").click()
    if page.locator(".more").is_visible():
        page.locator(".more summary").click()
        assert_accessible(page, f"menu of the header, {how}", covered=".job")


def look_at_a_problem(page: Page, api: Api, how: str) -> None:
    """The page of one cause, some of its runs chosen, and the dialog before they are redriven."""
    open_at(page, api, "problems")
    page.locator("tbody").get_by_role("link").first.click()
    page.get_by_role("checkbox", name="All on this page").check()
    assert_accessible(page, f"problem, {how}")
    page.get_by_role("button", name="Redrive").last.click()
    expect(page.get_by_role("dialog")).to_contain_text("URLs called")
    assert_accessible(page, f"dialog, {how}")
    page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("redriven")
    open_at(page, api, "problems")
    page.locator("tbody").get_by_role("button", name="Redrive").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("redriven")
    assert_accessible(page, f"progress, {how}")
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"the progress is {overflow} px too wide, {how}"
