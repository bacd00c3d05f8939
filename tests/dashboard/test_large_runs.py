"""Runs of many steps: few rows in the page, found, folded and shown, and cheap while they go on."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response, expect

from dashboard.seeds import seed_wide_run
from dashboard.stage import Api, Endpoints, serving
from dashboard.test_watching import open_at
from scenarios.embedded_runtime import AtomicServer

LARGE = 10_000
ROWS_MAX = 90
LIVE_STEPS = 1_000
LIVE_S = 20
LIVE_MAX_BYTES = 300_000
TASK_MAX_MS = 50
PAGE_MAX_BYTES = 60_000
SLOW_BYTES_S = 50_000
FIRST_PAINT_MAX_MS = 2_000


@pytest.fixture
def large(tmp_path: Path) -> Iterator[str]:
    """The address of a run of ten thousand steps."""
    now_ms = time.time_ns() // 1_000_000
    run_id = seed_wide_run(tmp_path / "data", "large", LARGE, now_ms=now_ms - 300_000)
    with serving(tmp_path / "data") as server:
        yield f"{server.url}/dashboard#/large/runs/{run_id}"


def fan_out(api: Api, endpoints: Endpoints, number: int) -> tuple[Any, list[Any]]:
    """A live run with so many steps of one name, the last of which failed, and one step after them."""
    run = api.start(endpoints.serve("/busy", (503, 0)), "feed", wait=False, retry={"count": 9})
    ok, bad = endpoints.serve("/ok", (200, {"resized": True})), endpoints.serve("/bad", (410, 0))
    steps = [
        api.start(url, f"{at}", parent=run["id"], stepName="resize image")
        for at in range(number)
        for url in (bad if at == number - 1 else ok,)
    ]
    api.start(ok, "after", parent=run["id"], stepName="publish")
    return run, steps


def test_ten_thousand_steps_are_found_and_scrolled(page: Page, large: str) -> None:
    page.goto(large)
    rows = page.locator(".row")
    expect(rows.first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("10,000 of 10,000 done")).to_be_visible()
    assert rows.count() < ROWS_MAX
    page.evaluate("scrollTo(0, 200_000)")
    expect(page.locator(".waterfall-head")).to_be_in_viewport()
    expect(page.locator('li[aria-posinset="5270"]')).to_be_attached()
    assert rows.count() < ROWS_MAX
    page.get_by_label("Find step").fill("step-9123")
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(page.get_by_role("complementary", name="Step step-9123")).to_be_visible()
    page.get_by_label("Find step").fill("")
    expect(page.get_by_role("button", name="Retried (10,000)")).to_be_enabled()


def test_arrow_keys_go_on_after_the_row_with_the_focus_was_scrolled_away(page: Page, large: str) -> None:
    page.goto(large)
    expect(page.locator(".row").first).to_be_visible(timeout=30_000)
    on_body = "document.activeElement === document.body"
    # Nobody was in the rows yet, so the key scrolls the page.
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(on_body)
    for key in ("ArrowDown", "ArrowUp"):
        page.locator(".row").nth(3).focus()
        # A wheel is not heard while the browser still moves the page for the key above.
        page.evaluate("scrollBy({top: 8_000, behavior: 'instant'})")
        expect(page.locator(".row:focus")).to_have_count(0)
        page.keyboard.press(key)
        row = page.locator(".row:focus")
        expect(row).to_be_in_viewport()
        at = row.evaluate("row => Number(row.closest('[aria-posinset]').ariaPosInSet)")
        assert at > 100
        page.keyboard.press(key)
        moved = row.evaluate("row => Number(row.closest('[aria-posinset]').ariaPosInSet)")
        assert moved - at == (1 if key == "ArrowDown" else -1)


def test_siblings_of_one_name_fold_and_the_chosen_one_comes_into_sight(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    run, steps = fan_out(api, endpoints, 60)
    open_at(page, api, f"runs/{run['runId']}")
    rows = page.locator(".row")
    expect(rows).to_have_count(3)
    group = page.get_by_role("button", name=re.compile("resize image, 60 steps: 59 succeeded, 1 failed"))
    expect(group).to_contain_text("×60")
    assert group.locator(".stripe").count() > 0
    expect(group.locator(".row-failed")).to_have_text("1 failed")
    expect(group.locator(".row-took")).to_have_text(re.compile(r"^[\d.]+ (ms|s)$"))
    group.click()
    expect(group).to_have_attribute("aria-expanded", "true")
    group.click()
    expect(rows).to_have_count(3)

    open_at(page, api, f"runs/{run['runId']}?step={steps[55]['id']}")
    row = page.locator(f'[data-step="{steps[55]["id"]}"]')
    expect(row).to_be_in_viewport()
    expect(row).to_have_attribute("aria-pressed", "true")


def test_a_large_run_says_at_once_how_many_steps_failed_and_when(page: Page, tmp_path: Path) -> None:
    run_id = seed_wide_run(
        tmp_path / "data", "large", 300, now_ms=time.time_ns() // 1_000_000 - 60_000, failed_each=100
    )
    with serving(tmp_path / "data") as server:
        page.goto(f"{server.url}/dashboard#/large/runs/{run_id}")
        expect(page.locator(".facts").first).to_contain_text("297 of 300 done, 3 failed")
        strip = page.locator(".strip .stripe")
        expect(page.locator(".strip .stripe.is-bad")).to_have_count(3)
        assert strip.count() > 40
        page.evaluate("scrollTo(0, 8_000)")
        expect(strip.first).to_be_in_viewport()
        # The run itself is none of the steps that failed.
        page.get_by_role("button", name="Failed (3)").click()
        expect(page.locator(".row")).to_have_count(3)
        expect(page.get_by_role("button", name=re.compile("^Live"))).to_have_count(0)


def test_no_time_of_the_axis_is_cut_off_on_a_phone(page: Page, tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    run_id = seed_wide_run(tmp_path / "data", "large", 2, now_ms=now_ms - 60_000)
    page.set_viewport_size({"width": 390, "height": 800})
    with serving(tmp_path / "data") as server:
        page.goto(f"{server.url}/dashboard#/large/runs/{run_id}")
        # The axis ends at 162 ms.
        expect(page.locator(".axis-ticks .late")).to_have_text("150 ms")
        right = "node => node.getBoundingClientRect().right"
        edge = page.locator(".axis-ticks").evaluate(right)
        assert all(tick.evaluate(right) <= edge for tick in page.locator(".axis-ticks span").all())


def test_live_steps_are_picked_out(page: Page, api: Api, endpoints: Endpoints) -> None:
    run, _ = fan_out(api, endpoints, 5)
    api.start("", "feed", wait=False, kind="event", stepName="approval", parent=run["id"])
    open_at(page, api, f"runs/{run['runId']}")
    expect(page.locator(".row").first).to_be_visible()
    expect(page.locator(".strip")).to_have_count(0)
    page.get_by_role("button", name="Live (1)").click()
    expect(page.locator(".row")).to_have_count(1)
    expect(page.locator(".row")).to_contain_text("approval")


def test_failed_and_retried_steps_are_picked_out(page: Page, api: Api, endpoints: Endpoints) -> None:
    run, steps = fan_out(api, endpoints, 20)
    open_at(page, api, f"runs/{run['runId']}")
    failed = page.get_by_role("button", name="Failed (1)")
    failed.click()
    row = page.locator(".row")
    expect(row).to_have_count(1)
    expect(row).to_have_attribute("data-step", steps[-1]["id"])
    expect(page.get_by_role("button", name=re.compile("Retried"))).to_have_text("Retried (1)")
    inside = page.locator(".tools .search").evaluate(
        """(field) => {
          const box = (name) => field.querySelector(name).getBoundingClientRect();
          const [icon, input] = [box("svg"), box("input")];
          return icon.left > input.left && icon.top > input.top && icon.bottom < input.bottom;
        }"""
    )
    assert inside, "the icon of the search stands in its field"
    page.get_by_label("Find step").fill("nothing like this")
    expect(page.get_by_text("No step fits.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".row")).to_have_count(3)
    before = page.locator(".axis").inner_text()
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".axis")).not_to_have_text(before)
    page.get_by_role("button", name="Whole time").click()
    expect(page.get_by_role("button", name="Whole time")).to_be_disabled()


def test_a_long_wait_is_drawn_short_and_the_present_is_marked(
    page: Page, server: AtomicServer, api: Api, endpoints: Endpoints
) -> None:
    retry = {"count": 9, "backOff": 600_000, "jitter": "none"}
    run = api.start(endpoints.serve("/down", (503, 0)), "down", wait=False, retry=retry)
    open_at(page, api, f"runs/{run['runId']}")
    expect(page.locator(".marks .now")).to_be_visible()
    expect(page.locator(".break")).to_have_count(0)
    later = "const now = Date.now; Date.now = () => now() + 3 * 3600 * 1000;"
    page.add_init_script(later)
    page.reload()
    expect(page.locator(".break")).to_have_count(1)
    # Nothing stands over the mark of the retry: the end of the axis has the time that is left out.
    expect(page.locator(".axis-ticks span").last).to_have_text(re.compile("^(2 h 59 min|3 h)$"))
    expect(page.locator(".break")).to_have_text("")


def test_a_zoom_draws_what_is_in_its_time(page: Page, large: str) -> None:
    page.goto(large)
    row = page.locator(".row")
    expect(row.first).to_be_visible(timeout=30_000)
    find = page.get_by_label("Find step")
    find.fill("step-1234")
    expect(row).to_have_count(1)
    row.click()
    # The first click fits the step, which was live from 12.34 s to 12.54 s of 120 s.
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".axis-ticks span")).to_have_text(["12.2 s", "12.4 s", "12.6 s"])
    expect(row.locator(".bar.is-succeeded")).to_have_count(1)
    expect(row.locator(".side")).to_have_count(0)
    for name, side, mark in (("step-1000", "before", "◂"), ("step-9999", "after", "▸")):
        find.fill(name)
        expect(row).to_have_count(1)
        expect(row).to_have_attribute("aria-label", re.compile(f"^{name}: .*, {side} the time shown$"))
        expect(row.locator(".side")).to_have_text(mark)
        expect(row.locator(".bar")).to_have_count(0)
    page.get_by_role("button", name="Whole time").click()
    expect(row.locator(".side")).to_have_count(0)
    expect(row.locator(".bar.is-succeeded")).to_have_count(1)


def test_a_live_run_of_a_thousand_steps_is_cheap_to_watch(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    run, _ = fan_out(api, endpoints, LIVE_STEPS)
    event = {"kind": "event", "stepName": "approval", "parent": run["id"]}
    approval = api.start("", "feed", wait=False, **event)
    open_at(page, api, f"runs/{run['runId']}?step={approval['id']}")
    expect(page.locator(".row").first).to_be_visible()
    page.wait_for_timeout(1_000)
    taken = received(page)
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline"])
    until = time.monotonic() + LIVE_S
    number = 0
    while time.monotonic() < until:
        api.start(f"{endpoints.url}/ok", f"more-{number}", parent=run["id"], stepName=f"more {number}")
        number += 1
        page.wait_for_timeout(500)
    assert number > LIVE_S
    ended = LIVE_STEPS - 1 + 1 + number
    expect(page.locator(".facts").first).to_contain_text(f"{ended:,} of {ended + 2:,} done")
    longest = longest_task_ms(browser.stop_tracing())
    print(f"{sum(taken)} bytes in {len(taken)} answers, longest task {longest} ms")
    assert 0 < sum(taken) < LIVE_MAX_BYTES
    assert longest < TASK_MAX_MS
    page.get_by_role("button", name="Approve…").click()
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(page.get_by_role("complementary").locator(".badge").first).to_have_text("succeeded")


def longest_task_ms(trace: bytes) -> float:
    """The processor time of the longest task of a page: other work on the machine is not counted."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event.get("tdur", 0) / 1000
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) in mains
    ]
    assert len(tasks) > LIVE_S
    return max(tasks)


def received(page: Page) -> list[int]:
    """The bytes of each answer from now on, as they were sent."""
    sizes: list[int] = []

    def keep(response: Response) -> None:
        sent = response.request.sizes()
        sizes.append(sent["responseBodySize"] + sent["responseHeadersSize"])

    page.on("requestfinished", lambda asked: keep(answer) if (answer := asked.response()) else None)
    return sizes


def test_a_run_that_waits_is_asked_for_seldom_and_answered_without_a_body(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    retry = {"count": 9, "backOff": 600_000, "jitter": "none"}
    run = api.start(endpoints.serve("/down", (503, 0)), "down", wait=False, retry=retry)
    open_at(page, api, f"runs/{run['runId']}")
    expect(page.locator(".row")).to_have_count(1)
    with page.expect_response(lambda each: "/runs/" in each.url and each.status == 304, timeout=40_000):
        pass
    answers: list[int] = []
    page.on(
        "response", lambda response: answers.append(response.status) if "/runs/" in response.url else None
    )
    page.wait_for_timeout(11_000)
    assert answers
    assert len(answers) <= 3
    assert set(answers) == {304}


def test_the_page_is_small_and_there_soon_on_a_slow_line(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    run = api.start(endpoints.serve("/ok", (200, 1)), "slow")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    limits = {"offline": False, "latency": 20, "downloadThroughput": SLOW_BYTES_S, "uploadThroughput": -1}
    devtools.send("Network.emulateNetworkConditions", limits)
    taken = received(page)
    open_at(page, api, f"runs/{run['runId']}")
    expect(page.locator(".row")).to_have_count(1)
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.wait_for_load_state("networkidle")
    print(f"{sum(taken)} bytes in {len(taken)} answers, first paint after {painted:.0f} ms")
    assert sum(taken) < PAGE_MAX_BYTES
    assert painted < FIRST_PAINT_MAX_MS
    again = received(page)
    page.reload()
    expect(page.locator(".row")).to_have_count(1)
    assert sum(again) < PAGE_MAX_BYTES / 4


@pytest.mark.parametrize(
    ("view", "there"),
    [
        ("overview", ".workflows tbody tr"),
        ("runs", "tbody tr"),
        ("problems", "tbody tr"),
        ("problems/{cause}", "tbody tr"),
        ("waiting", "main h2"),
        ("workflows/order", ".list tbody tr"),
        ("schedules", "tbody tr"),
        ("schedules/digest", "tbody tr"),
        ("flow", "tbody tr"),
        ("flow/smtp", "h1"),
        ("start", "form"),
    ],
)
def test_each_view_is_small(page: Page, api: Api, endpoints: Endpoints, view: str, there: str) -> None:
    bad = endpoints.serve("/bad", (410, 0))
    waiting = api.start(
        endpoints.serve("/held", None, (200, 0)), "slow", wait=False, flow=[{"key": "smtp"}]
    )
    api.start("", "slow", parent=waiting["id"], kind="event", stepName="approve", wait=False)
    api.start(bad, "bad")
    api.start(bad, "other", workflow="order")
    api.put_schedule("digest", bad, cron="0 8 * * MON-FRI", timeZone="Europe/Berlin", overlap="queue")
    api.put("/flow/smtp", concurrency=3)
    causes = api.get("/causes")["causes"]
    taken = received(page)
    open_at(page, api, view.format(cause=causes[0]["id"]))
    expect(page.locator(there).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    print(f"{view}: {sum(taken)} bytes in {len(taken)} answers")
    assert sum(taken) < PAGE_MAX_BYTES
