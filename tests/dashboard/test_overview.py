"""The overview and the page of a workflow, from the counters of the server."""

import json
import re
from datetime import datetime, timedelta
from urllib.parse import quote, unquote

from playwright.sync_api import Browser, Page, Route, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_access import assert_accessible
from dashboard.test_watching import open_at


def some_runs(api: Api, endpoints: Endpoints) -> None:
    ok, bad = endpoints.serve("/ok", (200, 1)), endpoints.serve("/bad", (410, {"no": "more"}))
    flaky = endpoints.serve("/flaky", (500, 0), (500, 0), (200, 1))
    for number in range(2):
        api.start(ok, f"ok-{number}", workflow="good")
    api.start(bad, "bad", workflow="broken/a b")
    api.start(flaky, "flaky", workflow="good", retry={"count": 3, "backOff": 1})
    api.start("http://127.0.0.1:9/later", "later", delay=600_000, wait=False, workflow="timer")


def test_the_overview_counts_what_happened(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "overview")
    tiles = page.locator(".tile")
    expect(tiles.filter(has_text="Live steps")).to_contain_text("1 pending")
    expect(tiles.filter(has_text="Retrying steps")).to_contain_text("0")
    expect(page.get_by_role("columnheader", name="Live runs")).to_be_visible()
    expect(tiles.filter(has_text="Failure rate")).to_contain_text("25 %")
    expect(tiles.filter(has_text="Needs action")).to_contain_text("1")
    charts = page.locator(".chart")
    expect(charts).to_have_count(4)
    expect(charts.filter(has_text="Retries").locator(".chart-now")).to_have_text("2")
    expect(charts.filter(has_text="Runs started").locator(".chart-now")).to_have_text("5, 1 live")
    cells = page.get_by_role("row").filter(has_text="good").get_by_role("cell")
    expect(cells.nth(1)).to_have_text("3")
    expect(cells.nth(3)).to_have_text("0 %")
    expect(cells.nth(6)).to_have_text("2")


def test_charts_have_a_scale_from_zero_round_times_and_words_for_nothing(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(5):
        api.start(ok, f"{number}")
    open_at(page, api, "overview")
    started, retries = (
        page.locator(".chart").filter(has_text=text) for text in ("Runs started", "Retries")
    )
    for place, text in (("top", "6"), ("middle", "3"), ("zero", "0")):
        expect(started.locator(f".plot-{place}")).to_have_text(text)
    expect(started.locator(".plot-none")).to_have_count(0)
    expect(retries.locator(".plot-none")).to_have_text("none in this time")
    expect(retries.locator(".plot-top")).to_have_count(0)
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        overlaps = started.locator(".plot-times span").evaluate_all(
            """all => all.map((each) => each.getBoundingClientRect())
                 .filter(({ right }, at, boxes) => boxes[at + 1]?.left < right).length"""
        )
        assert started.locator(".plot-times span").count() > 3
        assert overlaps == 0, width


def test_live_states_stand_in_one_order(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)

    def shuffled(route: Route) -> None:
        headers = {k: v for k, v in route.request.headers.items() if k != "if-none-match"}
        live = {"waiting": 4, "unheard": 1, "retrying": 3, "running": 2, "pending": 1}
        route.fulfill(json={**route.fetch(headers=headers).json(), "live": live})

    page.route("**/stats?*", shuffled)
    open_at(page, api, "overview")
    tile = page.locator(".tile").filter(has_text="Live steps")
    expect(tile).to_contain_text("1 pending, 2 running, 3 retrying, 4 waiting, 1 unheard")


def test_a_server_that_counts_live_runs_says_so(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)

    def as_on_aws(route: Route) -> None:
        # Without this, an answer that has not changed has no body.
        headers = {k: v for k, v in route.request.headers.items() if k != "if-none-match"}
        answer = route.fetch(headers=headers)
        route.fulfill(json={**answer.json(), "liveOf": "runs"})

    open_at(page, api, "runs")
    expect(page.get_by_text("1 step live now")).to_be_visible()
    page.route("**/stats?*", as_on_aws)
    expect(page.get_by_text("1 run live now")).to_be_visible()
    open_at(page, api, "overview")
    expect(page.locator(".tile").filter(has_text="Live runs")).to_contain_text("1 pending")
    expect(page.locator(".tile").filter(has_text="Retrying runs")).to_be_visible()


def test_workflows_are_sorted_by_the_columns(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "overview")
    names = page.locator(".workflows tbody tr td:first-child")
    expect(names.first).to_have_text("good")
    page.get_by_role("button", name="Failed").click()
    expect(names.first).to_have_text("broken/a b")
    expect(page.get_by_role("columnheader", name="Failed")).to_have_attribute("aria-sort", "descending")
    assert page.url.endswith("/overview?sort=failed")
    page.get_by_role("button", name="Workflow").click()
    expect(names).to_have_text(["broken/a b", "good", "timer"])
    page.get_by_role("button", name="Workflow").click()
    expect(names).to_have_text(["timer", "good", "broken/a b"])
    page.reload()
    expect(names.first).to_have_text("timer")


def test_the_axis_is_the_chosen_time(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "overview")
    bars = page.get_by_role("group", name=re.compile("^Runs started")).get_by_role("link")
    for label, least, most in (
        ("last 30 days", 31, 32),
        ("last 7 days", 28, 30),
        ("last 6 hours", 73, 73),
        ("last hour", 61, 61),
    ):
        page.get_by_label("Time").select_option(label)
        expect(page.locator(".chart").first).to_be_visible()
        page.wait_for_function(
            "least => document.querySelectorAll('.plot-links')[0]?.children.length >= least", arg=least
        )
        assert bars.count() <= most, label
    assert page.url.endswith("period=1h")


def test_the_numbers_of_a_bar_are_shown_by_keyboard_and_lead_to_its_runs(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "overview")
    group = page.get_by_role("group", name=re.compile("^Runs started"))
    bars = group.get_by_role("link")
    expect(bars.last).to_have_accessible_name(re.compile("succeeded 3, failed 1, live or cancelled 1$"))
    # One stop of the Tab key for each chart.
    assert group.locator("a[tabindex='0']").count() == 1
    bars.last.focus()
    tip = group.locator(".tip")
    expect(tip).to_contain_text("succeeded")
    page.keyboard.press("ArrowLeft")
    expect(bars.nth(bars.count() - 2)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.locator("tbody tr")).to_have_count(5)
    assert re.search(r"period=custom&from=[^&]+Z&to=[^&]+Z$", page.url)


def test_opened_numbers_do_not_stretch_the_chart_beside_them(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "overview")
    charts = page.locator(".chart")
    before = charts.nth(1).bounding_box()
    charts.first.get_by_text("Numbers", exact=True).click()
    expect(charts.first.get_by_role("table")).to_be_visible()
    after = charts.nth(1).bounding_box()
    assert before is not None
    assert after is not None
    assert after["y"] == before["y"]
    assert after["height"] <= before["height"]


def bars_in(page: Page) -> list[str]:
    """From when to when, by the address of the list of runs."""
    return re.findall(r"(?:from|to)=([^&]+)", page.url)


def times_in(page: Page) -> list[datetime]:
    """The same as times."""
    return [datetime.fromisoformat(unquote(text)) for text in bars_in(page)]


def test_several_bars_are_chosen_with_the_pointer(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "overview")
    bars = page.get_by_role("group", name=re.compile("^Runs started")).get_by_role("link")
    count = bars.count()
    boxes = [bars.nth(count - back).bounding_box() for back in (3, 1)]
    first, last = ([box["x"] + box["width"] / 2, box["y"] + 60] for box in boxes if box)
    wanted = [bars.nth(count - back).get_attribute("href") or "" for back in (3, 1)]
    page.mouse.move(*last)
    page.mouse.down()
    page.mouse.move(*first, steps=4)
    expect(page.locator(".brush")).to_be_visible()
    # The end of the choice may be outside of the chart.
    page.mouse.move(first[0], first[1] + 400)
    page.mouse.up()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.locator("tbody tr")).to_have_count(5)
    since, until = re.findall("from=([^&]+)", wanted[0])[0], re.findall("to=([^&]+)", wanted[1])[0]
    assert bars_in(page) == [since, until]


def test_several_bars_are_chosen_by_keyboard(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "workflows/good")
    group = page.get_by_role("group", name=re.compile("^Runs started"))
    bars = group.get_by_role("link")
    since = re.findall("from=([^&]+)", bars.nth(bars.count() - 3).get_attribute("href") or "")[0]
    bars.last.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    said = page.get_by_role("status").filter(has_text="3 bars")
    expect(said).to_contain_text("Enter shows their runs")
    page.keyboard.press("Escape")
    expect(page.locator(".brush")).to_have_count(0)
    # Without Shift it is one bar again, and so is a chart that the focus has left.
    for other in ("ArrowRight", "Tab"):
        page.keyboard.press("Shift+ArrowLeft")
        expect(page.locator(".brush")).to_have_count(1)
        page.keyboard.press(other)
        expect(page.locator(".brush")).to_have_count(0)
    bars.last.focus()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    assert_accessible(page, "several bars")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.locator("tbody tr")).to_have_count(3)
    assert bars_in(page)[0] == since
    assert "workflow=good" in page.url


def test_a_first_tap_shows_the_numbers_and_a_second_one_the_runs(
    browser: Browser, api: Api, endpoints: Endpoints
) -> None:
    some_runs(api, endpoints)
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    open_at(page, api, "overview")
    group = page.get_by_role("group", name=re.compile("^Failure rate"))
    group.get_by_role("link").last.tap()
    expect(group.locator(".tip")).to_contain_text("25 %")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    group.get_by_role("link").last.tap()
    expect(page.locator("tbody tr")).to_have_count(1)
    context.close()


def test_several_bars_are_chosen_with_a_finger(browser: Browser, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    page = context.new_page()
    open_at(page, api, "overview")
    group = page.get_by_role("group", name=re.compile("^Runs started"))
    group.scroll_into_view_if_needed()
    box = group.bounding_box()
    assert box is not None
    finger = context.new_cdp_session(page)

    def touch(kind: str, share: float) -> None:
        points = [{"x": box["x"] + box["width"] * share, "y": box["y"] + 50}]
        given = {"type": kind, "touchPoints": [] if kind == "touchEnd" else points}
        finger.send("Input.dispatchTouchEvent", given)

    touch("touchStart", 0.5)
    for share in (0.6, 0.8, 0.99):
        touch("touchMove", share)
    expect(page.locator(".brush")).to_be_visible()
    touch("touchEnd", 0.99)
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    since, until = bars_in(page)
    assert since < until
    context.close()


def test_the_last_hour_is_shown_by_the_minute(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    created = api.get("/runs?workflowName=broken/a%20b")["runs"][0]["createdAt"]
    minute = f"{created[:17]}00.000Z"
    for address in ("overview?period=1h", "workflows/broken%2Fa%20b?period=1h"):
        open_at(page, api, address)
        group = page.get_by_role("group", name=re.compile("^Failure rate"))
        bars = group.get_by_role("link")
        expect(bars).to_have_count(61)
        bar = group.locator(f"a[href*='from={quote(minute)}']")
        expect(bar).to_have_accessible_name(
            re.compile(r" [0-9]{2}:[0-9]{2} – [0-9]{2}:[0-9]{2}, failed [0-9]+ %$")
        )
        bar.click()
        expect(page.locator("tbody td.c-key")).to_have_text(["bad"])
        since, until = times_in(page)
        assert (since, until - since) == (datetime.fromisoformat(minute), timedelta(minutes=1))


def test_the_first_and_the_last_bar_have_keys(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "overview?period=6h")
    bars = page.get_by_role("group", name=re.compile("^Runs started")).get_by_role("link")
    expect(bars).to_have_count(73)
    bars.last.focus()
    page.keyboard.press("Home")
    expect(bars.first).to_be_focused()
    page.keyboard.press("Shift+End")
    expect(page.get_by_role("status").filter(has_text="73 bars")).to_be_attached()
    since = re.findall("from=([^&]+)", bars.first.get_attribute("href") or "")[0]
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(5)
    assert bars_in(page)[0] == since
    first, end = times_in(page)
    assert end - first == 73 * timedelta(minutes=5)


def test_one_run_has_the_duration_that_it_had(page: Page, api: Api, endpoints: Endpoints) -> None:
    slow = endpoints.serve("/ok", (200, 1))
    api.start(slow, "only", workflow="only")
    [run] = api.get("/runs")["runs"]
    created, finished = (datetime.fromisoformat(run[name]) for name in ("createdAt", "finishedAt"))
    lasted = round((finished - created) / timedelta(milliseconds=1))
    open_at(page, api, "overview?period=1h")
    cells = page.get_by_role("row").filter(has_text="only").get_by_role("cell")
    for place in (4, 5):
        expect(cells.nth(place)).to_have_text(f"{lasted} ms")


def test_a_server_that_counts_by_the_hour_is_shown_so(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)

    def counted(route: Route) -> None:
        # As on AWS: minutes are answered with hours.
        answer = route.fetch(url=re.sub("every=[0-9]+", "every=3600000", route.request.url))
        said = answer.json()
        for counter in said["counters"]:
            counter["countedAt"] = counter["beganAt"]
        route.fulfill(response=answer, body=json.dumps(said))

    page.route("**/counters?**", counted)
    for address in ("overview?period=1h", "workflows/good?period=6h"):
        open_at(page, api, address)
        head = page.locator(".page-head")
        expect(head).to_contain_text("Bars are hours: this server counts by the hour, twice an hour.")
        expect(head).to_contain_text(re.compile("counted (just now|[0-9]+ (s|min) ago)"))
        bars = page.get_by_role("group", name=re.compile("^Runs started")).get_by_role("link")
        expect(bars.last).to_have_accessible_name(re.compile("succeeded 3, failed [01], live or"))
        assert bars.count() <= 8


def test_counters_of_aws_say_how_old_they_are(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)

    def counted(route: Route) -> None:
        answer = route.fetch()
        said = answer.json()
        for counter in said["counters"]:
            counter["countedAt"] = counter["beganAt"]
        route.fulfill(response=answer, body=json.dumps(said))

    page.route("**/counters?**", counted)
    open_at(page, api, "overview")
    expect(page.locator(".page-head")).to_contain_text(re.compile("counted (just now|[0-9]+ (s|min) ago)"))


def test_a_workflow_has_a_page_of_its_own(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "overview")
    page.get_by_role("link", name="broken/a b").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("broken/a b")
    assert page.url.endswith("/workflows/broken%2Fa%20b")
    expect(page.locator(".chart").first.locator(".chart-now")).to_have_text("1")
    expect(page.locator("tbody td.c-key")).to_have_text(["bad"])
    cause = page.get_by_role("listitem").filter(has_text="the endpoint answered 410")
    cause.get_by_role("link", name="1 run").click()
    expect(page).to_have_url(re.compile("/problems/[0-9a-f]{16}$"))
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_workflow_is_paused_with_a_note_and_resumed(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    open_at(page, api, "workflows/good")
    page.get_by_role("button", name="Pause workflow…").click()
    field = page.get_by_label("Why?")
    expect(field).to_be_focused()
    # The page is drawn anew twice a second, and the field does not take the focus back.
    page.get_by_role("button", name="Cancel").focus()
    page.wait_for_timeout(1_200)
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    field.press_sequentially("a wrong release")
    page.get_by_role("button", name="Cancel").click()
    assert api.get("/workflows/good")["paused"] is None
    expect(page.get_by_role("button", name="Pause workflow…")).to_be_focused()
    page.keyboard.press("Enter")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Pause workflow…")).to_be_focused()
    page.keyboard.press("Enter")
    field.press_sequentially("a wrong <b>release</b>")
    field.press("Enter")
    bar = page.get_by_role("status").filter(has_text="Paused since")
    expect(bar).to_contain_text("a wrong <b>release</b>")
    assert api.get("/workflows/good")["paused"]["note"] == "a wrong <b>release</b>"
    expect(page.get_by_role("button", name="Resume workflow")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause workflow…")).to_be_focused()
    assert api.get("/workflows/good")["paused"] is None
    # The note may be left out.
    page.get_by_role("button", name="Pause workflow…").click()
    page.get_by_role("button", name="Pause workflow", exact=True).click()
    expect(bar).to_be_visible()


def test_a_refused_pause_says_why(page: Page, api: Api, endpoints: Endpoints) -> None:
    some_runs(api, endpoints)
    refused = {"title": "Not found", "detail": "There is nothing here for this API key."}
    page.route("**/pause", lambda route: route.fulfill(status=404, json=refused))
    open_at(page, api, "workflows/good")
    page.get_by_role("button", name="Pause workflow…").click()
    page.get_by_role("button", name="Pause workflow", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Not found. There is nothing here for this API key.")


def test_a_workflow_whose_name_is_no_path_opens(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "dots", workflow="..")
    open_at(page, api, "overview")
    page.locator(".workflows").get_by_role("link", name="..", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("..")
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    expect(page.get_by_text("A workflow of this name cannot be paused")).to_be_visible()
