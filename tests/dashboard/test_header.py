"""The header: all pages are within reach, and nothing is cut off, wide and narrow."""

import re

import pytest
from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at

NAMES = ["Overview", "Runs", "Problems", "Waiting", "Schedules", "Flow"]
# Under More, by the width of the window.
MORE = {
    1280: [],
    1181: [],
    1024: ["Schedules", "Flow"],
    721: ["Schedules", "Flow"],
    390: ["Overview", "Schedules", "Flow", "Start a run"],
}
LONG_CLIENT = "a-client-with-a-long-name"


def test_the_title_of_a_tab_tells_what_it_shows(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/ok", (200, 1)), "order-16")
    bad = api.start(endpoints.serve("/bad", (410, {"error": "gone"})), "order-17", stepName="n")
    retry = {"count": 9, "backOff": 600_000, "jitter": "none"}
    live = api.start(endpoints.serve("/down", (503, 0)), "order-18", wait=False, retry=retry)
    cause = api.get("/causes")["causes"][0]["id"]
    of = f"{api.client} — Atomic"
    for rest, title in (
        (f"runs/{bad['runId']}", "✗ order · order-17 — Atomic"),
        (f"runs/{live['runId']}", "… order · order-18 — Atomic"),
        ("runs/run_" + "0" * 32, f"Run · {of}"),
        ("runs", f"Runs · {of}"),
        ("runs?status=failed&workflow=order", f"workflow:order status:failed · Runs · {of}"),
        ("overview", f"Overview · {of}"),
        ("problems?state=dismissed", f"Dismissed · Problems · {of}"),
        (f"problems/{cause}", f"order · Problem · {of}"),
        ("workflows/order", f"order · Workflow · {of}"),
        ("waiting", f"Waiting for you · {of}"),
        ("flow/smtp", f"smtp · Flow · {of}"),
    ):
        open_at(page, api, rest)
        expect(page).to_have_title(title)
    open_at(page, api, f"runs/{live['runId']}")
    api.post(f"/runs/{live['runId']}/pause")
    expect(page).to_have_title("‖ order · order-18 — Atomic")
    api.post(f"/runs/{live['runId']}/cancel")
    expect(page).to_have_title("⊘ order · order-18 — Atomic")


@pytest.mark.parametrize("width", MORE)
def test_each_page_is_within_reach_and_nothing_is_cut_off(
    page: Page, api: Api, endpoints: Endpoints, width: int
) -> None:
    client = Api(api.server, f"{LONG_CLIENT}{width}")
    client.start(endpoints.serve("/bad", (410, 0)), "bad")
    run = client.start(
        endpoints.serve("/down", (503, 0)), "down", wait=False, retry={"count": 2, "backOff": 600_000}
    )
    client.start("", "down", parent=run["id"], kind="event", stepName="approve", wait=False)
    page.set_viewport_size({"width": width, "height": 800})
    open_at(page, client, "runs")
    nav = page.get_by_role("navigation", name="Views")
    # With the numbers beside them, which need room.
    for name in ("Problems 1", "Waiting 1"):
        expect(nav.get_by_role("link", name=name)).to_be_visible()
    links = nav.locator("> a:visible")
    row = [name for name in NAMES if name not in MORE[width]]
    expect(links).to_have_text([re.compile(rf"^{name}\d?$") for name in row])
    edges = """all => all.map((each) => each.getBoundingClientRect())
        .map(({ left, right, top, bottom }) => [left, right, (top + bottom) / 2])"""
    boxes = nav.locator("> a:visible, summary:visible").evaluate_all(edges)
    assert all(left >= 0 and right <= width for left, right, _ in boxes)
    assert max(middle for *_, middle in boxes) - min(middle for *_, middle in boxes) < 3
    top = page.locator("header.top")
    assert top.evaluate("node => node.scrollWidth <= node.clientWidth")
    # One line, and on smaller screens two.
    assert top.evaluate("node => node.offsetHeight") <= (60 if width >= 1024 else 100)
    more = nav.locator(".more")
    if not MORE[width]:
        expect(more).to_be_hidden()
        return
    more.locator("summary").click()
    expect(more.locator("a:visible")).to_have_text(MORE[width])
    box = more.locator(".more-pages").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    more.get_by_role("link", name="Schedules").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
    # The menu is closed again, and shows that it has the page.
    expect(more.locator("a:visible")).to_have_count(0)
    marked = more.locator("summary").evaluate("node => getComputedStyle(node).backgroundColor")
    open_at(page, client, "runs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    assert marked != more.locator("summary").evaluate("node => getComputedStyle(node).backgroundColor")


def test_the_menu_is_used_by_keyboard(page: Page, api: Api) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    open_at(page, api, "runs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    summary = page.locator(".more summary")
    link = page.locator(".more").get_by_role("link", name="Schedules")
    summary.focus()
    page.keyboard.press("Enter")
    expect(link).to_be_visible()
    page.keyboard.press("Tab")
    expect(link).to_be_focused()
    page.keyboard.press("Escape")
    expect(link).to_be_hidden()
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    # It closes when the focus leaves it.
    page.keyboard.press("Shift+Tab")
    expect(link).to_be_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Schedules")
