"""The list of runs while it is watched: its rows stay where they are, and say why runs wait."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from answering import Answer, Answering
from dashboard.stage import Api, Endpoints
from dashboard.test_search import field_of, search
from dashboard.test_watching import open_at

# Longer than the time between two updates.
AN_UPDATE_MS = 3_500
NEVER = {"count": 3, "backOff": 3_600_000, "maxBackOff": 3_600_000, "jitter": "none"}


def keys_of(page: Page) -> list[str]:
    return page.locator("td.c-key").all_inner_texts()


def test_new_runs_do_not_move_the_rows(page: Page, api: Api, endpoints: Endpoints) -> None:
    ok = endpoints.serve("/ok", (200, 1))
    for number in range(3):
        api.start(ok, f"old-{number}")
    held = api.start(endpoints.serve("/held", None, (200, 1)), "held", wait=False)
    assert held
    open_at(page, api, "runs")
    link = page.get_by_role("row").filter(has_text="old-1").get_by_role("link")
    link.focus()
    node = link.element_handle()
    before = keys_of(page)
    where = link.bounding_box()
    api.start(ok, "new-1")
    expect(page.get_by_role("button", name="1 new run", exact=True)).to_be_visible()
    api.start(ok, "new-2")
    expect(page.get_by_role("button", name="2 new runs")).to_be_visible()
    assert keys_of(page) == before
    assert link.bounding_box() == where
    assert page.evaluate("node => node === document.activeElement && node.isConnected", node)
    # What is shown is updated all the same.
    endpoints.release()
    expect(page.get_by_role("row").filter(has_text="held")).to_contain_text("succeeded")
    page.get_by_role("button", name="2 new runs").click()
    expect(page.locator("td.c-key")).to_have_text(["new-2", "new-1", *before])
    expect(page.get_by_role("button", name=re.compile("new run"))).to_have_count(0)
    page.wait_for_timeout(AN_UPDATE_MS)
    assert keys_of(page) == ["new-2", "new-1", *before]


def test_a_run_that_begins_to_fit_does_not_move_the_rows(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    bad = endpoints.serve("/bad", (410, 0))
    api.start(bad, "bad-1")
    api.start(endpoints.serve("/held", None, (410, 0)), "held", wait=False)
    api.start(bad, "bad-2")
    open_at(page, api, "runs?status=failed")
    expect(page.locator("td.c-key")).to_have_text(["bad-2", "bad-1"])
    endpoints.release()
    expect(page.get_by_role("button", name="1 new run")).to_be_visible()
    assert keys_of(page) == ["bad-2", "bad-1"]
    page.get_by_role("button", name="1 new run").click()
    expect(page.locator("td.c-key")).to_have_text(["bad-2", "held", "bad-1"])


def test_updates_can_be_paused(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = endpoints.serve("/held", None, (200, 1))
    api.start(run, "held", wait=False)
    open_at(page, api, "runs")
    row = page.get_by_role("row").filter(has_text="held")
    expect(row).to_contain_text("running")
    page.get_by_role("button", name="Pause updates").click()
    expect(page.get_by_text(re.compile("As of [0-9]{2}:"))).to_be_visible()
    expect(page.locator(".pulse")).to_have_count(0)
    endpoints.release()
    page.wait_for_timeout(AN_UPDATE_MS)
    expect(row).to_contain_text("running")
    # A new filter is read once.
    search(page, "status:cancelled")
    expect(page.get_by_role("heading", name="No run fits these filters")).to_be_visible()
    page.get_by_role("button", name="Clear filters").first.click()
    expect(row).to_contain_text("succeeded")
    page.get_by_role("button", name="Resume updates").click()
    expect(page.locator(".pulse")).to_be_visible()


@pytest.fixture
def waiting(api: Api, endpoints: Endpoints) -> Iterator[dict[str, str]]:
    """The runs of three workflows that wait, by what for."""
    down = endpoints.serve("/down", (503, 0))
    ids: dict[str, str] = {}
    steps: dict[str, dict[str, Any]] = {
        "timer": {"kind": "timer", "delay": 3_600_000},
        "event": {"kind": "event"},
        "retry": {"retry": NEVER},
    }

    def answer(path: str, call: Any) -> Answer:
        more = {"parent": call["stepId"], "stepName": "s", **steps[path.strip("/")]}
        step = api.start(down, call["idempotencyKey"], wait=False, workflow=call["workflowName"], **more)
        waits["Atomic-Waiting-For"] = step["id"]
        return 202, {}

    waits: dict[str, str] = {}
    handlers = Answering(answer, waits)
    for name in steps:
        run = api.start(f"{handlers.url}/{name}", name, workflow=f"by {name}", wait=False)
        while api.get(f"/steps/{run['id']}")["status"] != "waiting":
            pass
        ids[name] = run["runId"]
    yield ids
    handlers.close()


def test_a_row_says_why_a_run_waits(page: Page, api: Api, waiting: dict[str, str]) -> None:
    open_at(page, api, "runs")
    for name, said in (("timer", "timer"), ("event", "event"), ("retry", "retrying")):
        row = page.get_by_role("row").filter(has_text=f"by {name}")
        expect(row.locator(".badge")).to_have_text(f"waiting · {said}")
        # The handler was called again after it had waited, and that is no retry.
        expect(row.locator(".c-retries")).to_have_text("↻ 1" if name == "retry" else "")
    rows = page.locator("tbody tr")
    page.get_by_role("button", name="retrying").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("by retry")
    search(page, "waits:event")
    expect(rows).to_contain_text("by event")
    expect(rows).to_have_count(1)
    search(page, "status:waiting")
    expect(rows).to_have_count(1)
    field_of(page).press("Backspace")
    expect(rows).to_have_count(3)
    assert len(waiting) == 3


def test_the_columns_fit_a_small_screen(page: Page, api: Api, endpoints: Endpoints) -> None:
    name, key = "svc-00-jobs-nightly-sync", "order-2026-11-27-123456789"
    api.start(endpoints.serve("/bad", (410, 0)), key, workflow=name)
    open_at(page, api, "runs")
    took = page.locator("tbody .c-took")
    for width in (1024, 1280):
        page.set_viewport_size({"width": width, "height": 768})
        for text in (name, key):
            shown = page.locator("tbody").get_by_text(text)
            assert shown.evaluate("node => node.scrollWidth <= node.clientWidth"), (width, text)
        fits = "node => { node.textContent = '59 min 59 s'; return node.scrollWidth <= node.clientWidth; }"
        assert took.evaluate(fits), width
    page.set_viewport_size({"width": 390, "height": 800})
    states = page.get_by_role("group", name="Status").get_by_role("button")
    tops = states.evaluate_all("all => all.map((each) => each.getBoundingClientRect().top)")
    assert len(set(tops)) == 1
    heights = states.evaluate_all("all => all.map((each) => each.getBoundingClientRect().height)")
    assert min(heights) >= 44
