"""Problems: failed runs by their causes, what is done to them, and what is left alone."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from dashboard.seeds import seed_outage
from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at
from scenarios.embedded_runtime import AtomicServer

OUTAGE = {"bank says no": 1000, "card reader is away": 600, "no such product": 400}
HANDLED = 500
WORDS = ("bread", "milk", "salt", "tea", "rice", "oil", "soap", "wine", "corn", "meat")
# So many runs are redriven, each with two calls, on a machine that does other things as well.
REDRIVEN_WITHIN_MS = 240_000


@pytest.fixture
def outage(tmp_path: Path, endpoints: Endpoints) -> Iterator[Api]:
    """A shop after an outage; its endpoints work again."""
    for path in ("/order", "/charge", "/notify"):
        endpoints.serve(path, (200, {"fine": True}))
    now_ms = time.time_ns() // 1_000_000
    seed_outage(tmp_path / "data", "shop", endpoints.url, OUTAGE, handled=HANDLED, now_ms=now_ms)
    server = AtomicServer(tmp_path / "data")
    server.start()
    yield Api(server.url, "shop")
    server.stop()


def causes(api: Api) -> dict[str, int]:
    """How many runs need action, by the end of the text of their cause."""
    found = api.get("/causes")["causes"]
    return {cause["text"].rpartition(": ")[2]: cause["count"] for cause in found}


def test_one_cause_of_an_outage_is_redriven_in_two_clicks(
    page: Page, outage: Api, endpoints: Endpoints
) -> None:
    open_at(page, outage, "problems")
    expect(page.get_by_role("link", name="Problems 2,000")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(3)
    row = page.get_by_role("row").filter(has_text="card reader is away")
    expect(row).to_contain_text("charge in order")
    expect(row).to_contain_text("Status 503")

    row.get_by_role("button", name="Redrive 600 runs").click()
    dialog = page.get_by_role("dialog", name="Redrive 600 runs?")
    expect(dialog).to_contain_text("card reader is away")
    expect(dialog).to_contain_text("order-01599")
    expect(dialog).to_contain_text(f"{endpoints.url}/charge")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Redrive 600 runs").click()

    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("600 runs redriven", timeout=REDRIVEN_WITHIN_MS)
    expect(progress).to_contain_text("none of the newest 1,000 failed runs failed again so far")
    expect(page.get_by_role("link", name="Problems 1,400")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert causes(outage) == {"bank says no": 1000, "no such product": 400}
    page.get_by_role("link", name="Handled").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("row").filter(has_text="notify in order")).to_contain_text(str(HANDLED))


def failing(api: Api, endpoints: Endpoints, *keys: str, then: int = 410) -> None:
    """Runs of the workflow `order` that fail, and answer `then` afterwards."""
    for key in keys:
        api.start(endpoints.serve(f"/{key}", (410, {"error": "gone"}), (then, {"error": "gone"})), key)


def runs(api: Api, query: str) -> set[str]:
    """The keys of the runs that a list has."""
    found: list[dict[str, Any]] = api.get(f"/runs?{query}")["runs"]
    return {run["idempotencyKey"] for run in found}


def test_chosen_runs_alone_are_dismissed_and_taken_back(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a", "b", "c")
    open_at(page, api, "problems")
    page.locator("tbody").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("order")
    for key in ("a", "b"):
        page.get_by_role("checkbox", name=f"Choose the run with key {key}").check()
    page.get_by_role("button", name="Dismiss 2…").click()
    dialog = page.get_by_role("dialog", name="Dismiss 2 runs?")
    expect(dialog).to_contain_text("nothing")
    dialog.get_by_label("Note").fill("known since Monday")
    dialog.get_by_role("button", name="Dismiss 2 runs").click()

    expect(page.get_by_role("status").filter(has_text="2 runs dismissed.")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert runs(api, "dismissed=true") == {"a", "b"}
    page.get_by_role("link", name="← Problems").click()
    page.get_by_role("link", name="Dismissed").click()
    page.locator("tbody").get_by_role("link").click()
    expect(page.get_by_role("row").filter(has_text="known since Monday")).to_have_count(2)
    page.get_by_role("checkbox", name="Choose the run with key a").check()
    page.get_by_role("button", name="Take 1 back").click()
    expect(page.get_by_role("status").filter(has_text="1 run needs action again.")).to_be_visible()
    assert runs(api, "dismissed=false") == {"a", "c"}


def test_a_whole_cause_is_dismissed(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a", "b")
    open_at(page, api, "problems")
    page.get_by_role("button", name="Dismiss 2 runs of order").click()
    page.get_by_role("dialog").get_by_label("Note").fill("sold out")
    page.get_by_role("dialog").get_by_role("button", name="Dismiss 2 runs").click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("2 runs dismissed")
    expect(page.get_by_role("heading", name="No problem needs action")).to_be_visible()
    page.get_by_role("button", name="Close the progress").click()
    expect(page.get_by_role("region", name="Progress")).to_have_count(0)
    assert {run["dismissed"]["note"] for run in api.get("/runs?dismissed=true")["runs"]} == {"sold out"}


def test_what_fails_again_is_counted(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a", "b")
    failing(api, endpoints, "c", then=200)
    open_at(page, api, "problems")
    page.get_by_role("button", name="Redrive 3 runs of order").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive 3 runs").click()
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("3 runs redriven · 2 failed again: 2 for the same cause")
    progress.get_by_role("link", name="the same cause").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_the_filter_that_is_shown_is_the_one_that_is_sent(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    failing(api, endpoints, "a", "b")
    open_at(page, api, "problems")
    page.locator("tbody").get_by_role("link").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Started").select_option("custom")
    page.get_by_label("To (").fill("2020-01-02T03:04:05")
    expect(page.get_by_role("heading", name="No run of this cause fits these filters")).to_be_visible()
    page.get_by_label("To (").fill("2100-01-02T03:04:05")
    expect(page.locator("tbody tr")).to_have_count(2)
    sent: list[Any] = []
    page.on("request", lambda asked: sent.append(asked.post_data_json) if "/bulk" in asked.url else None)
    page.get_by_role("button", name="Redrive those of this time…").click()
    dialog = page.get_by_role("dialog", name="Redrive 2 runs?")
    expect(dialog).to_contain_text("before Jan 2, 2100, 03:04:05")
    dialog.get_by_role("button", name="Redrive 2 runs").click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("2 runs redriven")
    filters = [asked["filter"] for asked in sent if asked]
    # The count, the count again when it is confirmed, and the bulk.
    assert len(filters) == 3
    assert filters[0] == filters[1] == filters[2]
    assert filters[0].keys() == {"cause", "dismissed", "createdBefore"}


def test_a_period_without_a_time_is_none(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a", "b")
    open_at(page, api, "problems")
    page.locator("tbody").get_by_role("link").click()
    page.get_by_label("Started").select_option("custom")
    expect(page.get_by_label("From (")).to_be_visible()
    expect(page.get_by_role("button", name="Redrive 2…")).to_be_visible()
    page.get_by_label("From (").fill("2020-01-02T03:04:05")
    expect(page.get_by_role("button", name="Redrive those of this time…")).to_be_visible()


def test_a_time_of_the_address_that_is_none_is_said(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a")
    open_at(page, api, "problems")
    page.locator("tbody").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("order")
    page.goto(f"{page.url}?period=custom&from=zzz")
    expect(page.get_by_role("alert")).to_have_text("From: “zzz” is not a time.")
    expect(page.get_by_role("button", name="Redrive 1…")).to_be_visible()
    open_at(page, api, "runs?period=custom&to=2020-13-45")
    expect(page.get_by_role("alert")).to_have_text("To: “2020-13-45” is not a time.")


def test_a_time_that_ends_before_it_begins_is_said(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a")
    [cause] = api.get("/causes")["causes"]
    for place in ("runs", f"problems/{cause['id']}"):
        open_at(page, api, f"{place}?period=custom&from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z")
        expect(page.get_by_role("alert")).to_have_text("From is later than To.")
        page.get_by_label("From (").fill("2025-01-02T03:04:05")
        expect(page.get_by_role("alert")).to_have_count(0)


@pytest.fixture
def many_causes(tmp_path: Path, endpoints: Endpoints) -> Iterator[Api]:
    """Two runs for each of a hundred causes, and one for each of two others."""
    numbers = {f"no {one} for {other}": 2 for one in WORDS for other in WORDS}
    lonely = {"the bank is shut": 1, "the shop is shut": 1}
    now_ms = time.time_ns() // 1_000_000
    seed_outage(tmp_path / "data", "shop", endpoints.url, numbers | lonely, handled=0, now_ms=now_ms)
    server = AtomicServer(tmp_path / "data")
    server.start()
    yield Api(server.url, "shop")
    server.stop()


def test_more_causes_than_are_shown_are_said_to_exist(page: Page, many_causes: Api) -> None:
    open_at(page, many_causes, "problems")
    expect(page.locator("tbody tr")).to_have_count(100)
    expect(page.get_by_text("at least 200 runs, more than 100 causes")).to_be_visible()
    said = "The 100 with most runs are shown. Filter by the whole name of a workflow for others."
    expect(page.get_by_text(said)).to_be_visible()


def test_a_problem_beyond_the_causes_that_are_shown_is_whole(
    page: Page, many_causes: Api, endpoints: Endpoints
) -> None:
    gone = endpoints.serve("/gone", (410, {"error": "no such invoice"}))
    many_causes.start(gone, "lonely", workflow="invoice")
    [cause] = many_causes.get("/causes?workflowName=invoice")["causes"]
    assert cause["id"] not in [each["id"] for each in many_causes.get("/causes?limit=100")["causes"]]
    open_at(page, many_causes, f"problems/{cause['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("invoice")
    expect(page.locator(".problem-text")).to_contain_text("no such invoice")
    expect(page).to_have_title("invoice · Problem · shop — Atomic")
    page.get_by_label("All on this page").check()
    expect(page.get_by_role("button", name="Dismiss 1…").last).to_be_enabled()
    page.get_by_role("button", name="Redrive 1…").first.click()
    expect(page.get_by_role("dialog", name="Redrive 1 run?")).to_be_visible()


def paused_bulk(page: Page, outage: Api) -> Locator:
    """The progress of a bulk that was begun and paused."""
    open_at(page, outage, "problems")
    page.get_by_role("button", name="Redrive 1,000 runs").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive 1,000 runs").click()
    progress = page.get_by_role("region", name="Progress")
    progress.get_by_role("button", name="Pause").click()
    expect(progress).to_contain_text("paused")
    return progress


def test_a_bulk_is_paused_resumed_and_cancelled(page: Page, outage: Api) -> None:
    progress = paused_bulk(page, outage)
    expect(progress).to_contain_text("of 1,000 runs")
    progress.get_by_role("button", name="Cancel").click()
    expect(progress).to_contain_text("cancelled after")
    assert 0 < causes(outage)["bank says no"] < 1000


def test_a_pause_by_somebody_else_is_shown(page: Page, outage: Api) -> None:
    open_at(page, outage, "problems")
    page.get_by_role("button", name="Redrive 1,000 runs").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive 1,000 runs").click()
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("of 1,000 runs")
    (bulk,) = outage.get("/runs?workflowName=bulk/redrive")["runs"]
    outage.post(f"/runs/{bulk['runId']}/pause")
    expect(progress.get_by_role("button", name="Resume")).to_be_visible()
    expect(progress).to_contain_text("paused")
    outage.post(f"/runs/{bulk['runId']}/resume")
    expect(progress.get_by_role("button", name="Pause")).to_be_visible()
    progress.get_by_role("button", name="Cancel").click()
    expect(progress).to_contain_text("cancelled after")


def test_a_bulk_in_progress_is_shown_again_after_a_reload(page: Page, outage: Api) -> None:
    progress = paused_bulk(page, outage)
    open_at(page, outage, "overview")
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url) if "workflowName=bulk" in each.url else None)
    page.reload()
    expect(progress).to_contain_text("paused")
    expect(progress).to_contain_text("of 1,000 runs")
    progress.get_by_role("button", name="Resume").click()
    expect(progress.get_by_role("button", name="Pause")).to_be_visible()
    progress.get_by_role("button", name="Cancel").click()
    expect(progress).to_contain_text("cancelled after")
    # It is asked for once, and not again by the updates of the page.
    page.wait_for_timeout(6_000)
    assert len(asked) == 2
    page.reload()
    expect(page.locator(".chart").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(progress).to_have_count(0)


def test_another_page_of_a_list_begins_at_its_top(page: Page, outage: Api) -> None:
    open_at(page, outage, "problems")
    page.get_by_role("row").filter(has_text="bank says no").get_by_role("link").click()
    older = page.get_by_role("button", name="Older")
    expect(page.locator("tbody tr")).to_have_count(50)
    older.scroll_into_view_if_needed()
    assert page.evaluate("scrollY") > 0
    older.click()
    expect(page.get_by_role("button", name="Newest")).to_be_attached()
    page.wait_for_function("scrollY === 0")


def test_the_former_address_leads_to_the_problems(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a")
    open_at(page, api, "dead-letters?workflow=order")
    expect(page.get_by_role("heading", level=1)).to_have_text("Problems")
    expect(page.get_by_label("Workflow")).to_have_value("order")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_bulk_that_is_refused_says_so_in_the_dialog(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a")
    open_at(page, api, "problems")
    page.get_by_role("button", name="Redrive 1 run of order").click()
    expect(page.get_by_role("dialog", name="Redrive 1 run?")).to_be_visible()
    page.route("**/bulk", lambda route: route.fulfill(status=503, json={"title": "Out of breath"}))
    page.get_by_role("dialog").get_by_role("button", name="Redrive 1 run").click()
    expect(page.get_by_role("alert")).to_contain_text("Out of breath")


def test_problems_are_filtered_by_a_part_of_a_name(page: Page, api: Api, endpoints: Endpoints) -> None:
    gone = endpoints.serve("/gone", (410, {"error": "gone"}))
    for workflow in ("order", "reorder", "check invoice"):
        api.start(gone, f"k-{len(workflow)}", workflow=workflow)
    open_at(page, api, "problems")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    filter_of = page.get_by_label("Workflow")
    filter_of.fill("RDE")
    expect(rows).to_have_count(2)
    assert sorted(rows.locator(".row-link").all_inner_texts()) == ["order", "reorder"]
    expect(page.get_by_text("2 runs, 2 causes")).to_be_visible()
    # A whole name is that workflow alone, and the others are still offered.
    filter_of.fill("order")
    expect(rows.locator(".row-link")).to_have_text(["order"])
    names = page.locator("#workflows option")
    offered = names.evaluate_all("all => all.map((each) => each.value)")
    assert offered == ["check invoice", "order", "reorder"]
    filter_of.fill("none")
    expect(page.get_by_role("heading", name="No problem fits these filters")).to_be_visible()


def test_pages_of_a_problem_go_back_and_forth(page: Page, api: Api, endpoints: Endpoints) -> None:
    gone = endpoints.serve("/gone", (410, {"error": "gone"}))
    for number in range(101):
        api.start(gone, f"k-{number:03}")
    open_at(page, api, "problems")
    page.locator(".row-link").click()
    rows = page.locator("tbody tr")
    pager = page.get_by_role("navigation", name="Pages")
    newer = pager.get_by_role("button", name="Newer")
    expect(rows).to_have_count(50)
    expect(newer).to_have_count(0)
    for first in ("k-050", "k-000"):
        pager.get_by_role("button", name="Older").click()
        expect(rows.first).to_contain_text(first)
    newer.click()
    expect(rows.first).to_contain_text("k-050")
    newer.click()
    expect(rows.first).to_contain_text("k-100")
    expect(newer).to_have_count(0)


def test_the_rows_of_a_problem_say_its_cause_and_not_the_wrapper(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    handler = endpoints.serve("/order", None, (500, {"error": "step charge failed"}))
    run = api.start(handler, "wrapped", wait=False, retry={"count": 0})
    declined = endpoints.serve("/charge", (402, {"error": "card declined"}))
    api.start(declined, "charge", parent=run["id"], stepName="charge", retry={"count": 0})
    endpoints.release()
    open_at(page, api, "problems")
    page.get_by_role("link", name="charge in order").click()
    row = page.locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator(".row-text")).to_have_text("charge: the endpoint answered 402: card declined")
    expect(row.locator(".row-text")).to_have_attribute("title", re.compile("step charge failed"))
