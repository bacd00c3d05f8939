"""Schedules: the list, the page of one, and what is done to it: pause, trigger, backfill, delete."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from dashboard.conftest import watched_page
from dashboard.stage import Api, Endpoints, server_with_keys
from dashboard.test_watching import open_at

YEARLY = {"cron": "0 12 1 1 *"}
DAILY = {"cron": "0 12 * * *"}
# Runs of a schedule that is due each second come within this time.
SOON_MS = 20_000


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def keys(api: Api) -> set[str]:
    """The keys of all runs."""
    return {run["idempotencyKey"] for run in api.get("/runs?limit=100")["runs"]}


def test_the_list_says_when_each_runs_and_how_its_last_run_ended(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    ok, bad = endpoints.serve("/ok", (200, 1)), endpoints.serve("/bad", (410, 0))
    weekdays = "0 8 * * MON-FRI"
    api.put_schedule("digest", ok, cron=weekdays, timeZone="Europe/Berlin")
    api.put_schedule("held", ok, every=3_600_000, paused=True, note="audit until Friday")
    api.put_schedule("over", ok, at=["2020-01-01T00:00:00Z"])
    api.put_schedule("pulse", bad, workflow="beat", every=1000)
    open_at(page, api, "schedules")
    expect(page.locator("tbody .row-link")).to_have_text(["digest", "held", "over", "pulse"])
    expect(row(page, "digest")).to_contain_text("Monday to Friday at 08:00, Europe/Berlin")
    expect(row(page, "digest")).to_contain_text(weekdays)
    expect(row(page, "digest")).to_contain_text("none yet")
    expect(row(page, "digest").locator(".c-next time")).to_contain_text("in ")
    expect(row(page, "held")).to_contain_text("Every 1 h")
    expect(row(page, "held")).to_contain_text("paused")
    expect(row(page, "held")).to_contain_text("audit until Friday")
    expect(row(page, "over").locator(".c-next")).to_have_text("no more runs")
    expect(row(page, "pulse")).to_contain_text("failed in a row", timeout=SOON_MS)
    expect(page.locator(".page-head")).to_contain_text("4 schedules, 1 paused, 1 with failures")
    # Nothing else starts runs of it, so the link leads to one of them.
    api.post("/schedules/pulse/pause")
    expect(row(page, "pulse").locator(".c-last")).to_contain_text("failed", timeout=SOON_MS)
    row(page, "pulse").locator(".run-badge").click()
    expect(page.locator(".run-title")).to_contain_text("beat")


def test_the_list_is_filtered_and_ordered(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/ok", (200, 1))
    api.put_schedule("a-late", url, workflow="billing", at=["2099-01-01T00:00:00Z"])
    api.put_schedule("b-paused", url, cron="@hourly", paused=True)
    api.put_schedule("c-soon", url, workflow="BillingRun", every=86_400_000)
    open_at(page, api, "schedules")
    names = page.locator("tbody .row-link")
    expect(names).to_have_text(["a-late", "b-paused", "c-soon"])
    page.get_by_label("Order").select_option("next")
    expect(names).to_have_text(["c-soon", "a-late", "b-paused"])
    page.get_by_label("Name or workflow").fill("billing")
    expect(names).to_have_text(["c-soon", "a-late"])
    page.reload()
    expect(names).to_have_text(["c-soon", "a-late"])
    page.get_by_label("Name or workflow").fill("none of them")
    expect(page.get_by_role("heading", name="No schedule fits these filters")).to_be_visible()
    page.locator(".blank").get_by_role("button", name="Clear filters").click()
    expect(names).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("c-soon")


def test_many_schedules_are_listed_in_pages(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/ok", (200, 1))
    for number in range(201):
        api.put_schedule(f"s-{number:03}", url, **YEARLY)
    open_at(page, api, "schedules")
    names = page.locator("tbody .row-link")
    expect(names).to_have_count(100)
    expect(page.locator(".page-head")).to_contain_text("201 schedules")
    pages = page.get_by_role("navigation", name="Pages")
    expect(pages).to_contain_text("Schedules 1 to 100 of 201")
    pages.get_by_role("button", name="Next").click()
    pages.get_by_role("button", name="Next").click()
    expect(names).to_have_text(["s-200"])
    expect(pages.get_by_role("button")).to_have_text(["Previous"])
    pages.get_by_role("button", name="Previous").click()
    expect(names.first).to_have_text("s-100")
    page.get_by_label("Name or workflow").fill("s-00")
    expect(names).to_have_count(10)
    expect(pages).to_have_count(0)


def test_the_empty_list_has_commands_that_make_one(page: Page, api: Api, tmp_path: Path) -> None:
    open_at(page, api, "schedules")
    expect(page.get_by_role("heading", name="No schedules yet")).to_be_visible()
    commands = page.get_by_label("Command")
    expect(commands).to_have_count(3)
    line, program, _ = (commands.nth(number).inner_text() for number in range(3))
    (tmp_path / "atomic").write_text(f'#!/bin/sh\nexec {sys.executable} -m atomic.cli "$@"\n')
    (tmp_path / "atomic").chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    for command in (["sh", "-c", line], [sys.executable, "-c", program]):
        subprocess.run(command, cwd=tmp_path, env=path, check=True, timeout=60)
        expect(row(page, "digest")).to_contain_text("Monday to Friday at 08:00, Europe/Berlin")
        assert api.delete("/schedules/digest") == {"deleted": "digest"}


@pytest.fixture
def in_new_york(browser: Browser) -> Iterator[Page]:
    yield from watched_page(browser, timezone_id="America/New_York")


def test_the_page_of_a_schedule_has_its_times_by_three_clocks(
    in_new_york: Page, api: Api, endpoints: Endpoints
) -> None:
    page = in_new_york
    times = {"cron": "30 0 5 7 *", "timeZone": "Asia/Kolkata", "until": "2099-08-01T00:00:00Z"}
    more = {"overlap": "queue", "catchUp": {"policy": "all", "window": 7_200_000}, "spread": 90_000}
    limits = {"limit": 1, "pauseAfterFailures": 3, "note": "for the tax office"}
    start = {"payload": {"of": "sales"}, "tags": {"team": "money"}, "retry": {"count": 4}}
    api.put_schedule("tax", endpoints.serve("/tax", (200, 1)), start=start, **times, **more, **limits)
    open_at(page, api, "schedules/tax")
    expect(page.get_by_role("heading", level=1)).to_have_text("tax")
    for text in (
        "On day 5 of the month in July at 00:30, Asia/Kolkata",
        "for the tax office",
        "one time is kept and starts at its end",
        "All times that passed while the server was down start. None starts that is older than 2 h.",
        "up to 1 min 30 s after their time",
        "No run after Jul 31, 2099",
        "1 run in all. Pauses itself after 3 failed runs in a row.",
        "up to 4",
        "team: money",
        '"of": "sales"',
        "No run of it is kept.",
    ):
        expect(page.locator("main")).to_contain_text(text)
    url = page.locator("dt").filter(has_text=re.compile("^URL$")).locator("+ dd")
    expect(url).to_have_text(f"{endpoints.url}/tax")
    table = page.get_by_role("table", name="Next times")
    expect(table.get_by_role("columnheader")).to_have_text(
        ["In", "America/New_York", "Asia/Kolkata", "UTC"]
    )
    # Its limit leaves one of them.
    expect(table.locator("tbody tr")).to_have_count(1)
    cells = table.get_by_role("cell")
    for number, day in enumerate((r"Jul 4,.* 15:00$", r"Jul 5,.* 00:30$", r"Jul 4,.* 19:00$"), 1):
        expect(cells.nth(number)).to_have_text(re.compile(day))


def test_a_schedule_is_paused_with_a_note_and_resumed(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.put_schedule("digest", endpoints.serve("/ok", (200, 1)), **YEARLY)
    open_at(page, api, "schedules/digest")
    page.get_by_role("button", name="Pause schedule…").click()
    page.get_by_label("Why?").fill("audit until Friday")
    page.keyboard.press("Enter")
    expect(page.locator(".paused-bar")).to_contain_text("Paused: audit until Friday")
    expect(page.locator("main")).to_contain_text("None of them starts a run while it is paused.")
    expect(page.get_by_role("table", name="Next times").locator("tbody tr")).to_have_count(10)
    shown = api.get("/schedules/digest")
    assert (shown["paused"], shown["note"]) == (True, "audit until Friday")
    page.get_by_role("button", name="Resume schedule").click()
    expect(page.get_by_role("button", name="Pause schedule…")).to_be_visible()
    assert not api.get("/schedules/digest")["paused"]


def test_a_run_is_triggered_once(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/ok", (200, 1))
    api.put_schedule("digest", url, **YEARLY, paused=True)
    api.start(url, "digest-other", workflow="digest")
    open_at(page, api, "schedules/digest")
    page.get_by_role("button", name="Trigger now…").click()
    dialog = page.get_by_role("dialog", name="Trigger digest now?")
    expect(dialog).to_contain_text(url)
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    # The answer to the first request is lost: the second one finds the run of the first.
    lost: list[Route] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route)
            route.fetch()
            route.abort()

    page.route("**/trigger", lose)
    dialog.get_by_role("button", name="Trigger now").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The server cannot be reached")
    dialog.get_by_role("button", name="Trigger now").click()
    expect(page.get_by_role("status").filter(has_text="was started.")).to_be_visible()
    [key] = keys(api) - {"digest-other"}
    assert key.startswith("digest@now-")
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    page.get_by_role("link", name="All runs of this schedule").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text(key)


def open_backfill(page: Page, api: Api, name: str, since: str, to: str) -> Locator:
    """The dialog, opened anew, with this range typed by the clock of the browser."""
    page.keyboard.press("Escape")
    open_at(page, api, f"schedules/{name}")
    page.get_by_role("button", name="Backfill…").click()
    dialog = page.get_by_role("dialog", name=f"Backfill {name}")
    local = """iso => {
        const at = new Date(iso);
        return new Date(at - at.getTimezoneOffset() * 60e3).toISOString().slice(0, 19);
    }"""
    for label, moment in (("From", since), ("Before", to)):
        dialog.get_by_label(label).fill(page.evaluate(local, moment))
    return dialog


def test_a_backfill_shows_its_times_and_starts_exactly_these(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    api.put_schedule("digest", endpoints.serve("/ok", (200, 1)), **DAILY)
    dialog = open_backfill(page, api, "digest", "2020-02-28T12:00:00Z", "2020-03-02T12:00:00Z")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog).to_contain_text("3 runs will be started.")
    shown = dialog.locator("li time")
    expected = ["2020-02-28", "2020-02-29", "2020-03-01"]
    assert times_of(shown) == [f"{day}T12:00:00.000Z" for day in expected]
    assert keys(api) == set()
    dialog.get_by_role("button", name="Start 3 runs").click()
    expect(dialog).to_contain_text("3 runs started, 0 existed.")
    expect(dialog.get_by_role("status")).to_be_focused()
    assert keys(api) == {f"digest@{day}T12:00:00Z" for day in expected}
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator(".runs tbody tr")).to_have_count(3)

    # What exists is told before, and left alone.
    dialog = open_backfill(page, api, "digest", "2020-02-27T12:00:00Z", "2020-02-29T12:00:01Z")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog).to_contain_text("1 run will be started, 2 exist and stay as they are.")
    expect(dialog.locator("li")).to_contain_text(["starts", "exists", "exists"])
    dialog.get_by_role("button", name="Start 1 run").click()
    expect(dialog).to_contain_text("1 run started, 2 existed.")
    assert len(keys(api)) == 4
    dialog.get_by_role("link", name="started").click()
    expect(page.locator(".run-title")).to_contain_text("digest")


def times_of(shown: Locator) -> list[Any]:
    found: list[Any] = shown.evaluate_all("all => all.map((each) => each.dateTime)")
    return found


def test_a_backfill_of_several_pages_says_how_many_there_are(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    api.put_schedule("often", endpoints.serve("/ok", (200, 1)), every=60_000, paused=True)
    dialog = open_backfill(page, api, "often", "2020-01-01T00:00:00Z", "2020-01-01T04:00:00Z")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog).to_contain_text("240 runs will be started.")
    dialog.get_by_role("button", name="Start 240 runs").click()
    expect(dialog).to_contain_text("240 runs started, 0 existed.", timeout=60_000)
    dialog = open_backfill(page, api, "often", "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog).to_contain_text("760 runs will be started, 240 exist and stay as they are.")
    expect(dialog).to_contain_text("There are more times, from Jan 1, 2020")
    # Other fields need another look.
    dialog.get_by_label("From").fill("2020-01-01T00:00:01")
    expect(dialog.get_by_role("button", name="Show the times")).to_be_visible()
    expect(dialog.locator("li")).to_have_count(0)


def test_a_backfill_that_cannot_go_on_says_why(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/ok", (200, 1))
    api.put_schedule("digest", url, **DAILY)
    dialog = open_backfill(page, api, "digest", "2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog.get_by_role("alert")).to_contain_text("use a moment after `from`")
    dialog = open_backfill(page, api, "digest", "2020-01-01T00:00:00Z", "2020-01-01T06:00:00Z")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog).to_contain_text("The schedule has no time in this span.")
    expect(dialog.get_by_role("button", name="Start 0 runs")).to_be_disabled()

    # Somebody changes the times after they were shown.
    dialog = open_backfill(page, api, "digest", "2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z")
    dialog.get_by_role("button", name="Show the times").click()
    expect(dialog).to_contain_text("2 runs will be started.")
    api.put_schedule("digest", url, cron="0 13 * * *")
    dialog.get_by_role("button", name="Start 2 runs").click()
    said = "The times of the schedule have changed meanwhile. No further run is started."
    expect(dialog.get_by_role("alert")).to_contain_text(said)
    expect(dialog.get_by_role("alert")).to_contain_text("1 run started, 0 existed.")


def test_a_schedule_is_deleted_after_a_question(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.put_schedule("digest", endpoints.serve("/ok", (200, 1)), **YEARLY)
    open_at(page, api, "schedules/digest")
    page.get_by_role("button", name="Delete…").click()
    dialog = page.get_by_role("dialog", name="Delete digest?")
    expect(dialog.get_by_role("button", name="Keep the schedule")).to_be_focused()
    page.keyboard.press("Enter")
    assert api.get("/schedules/digest")["name"] == "digest"
    page.get_by_role("button", name="Delete…").click()
    dialog.get_by_role("button", name="Delete schedule").click()
    expect(page.get_by_role("heading", name="No schedules yet")).to_be_visible()
    assert api.get("/schedules")["schedules"] == []
    open_at(page, api, "schedules/digest")
    expect(page.locator(".blank")).to_contain_text("It was deleted, or it belongs to another client.")


def test_a_key_sees_the_buttons_of_a_schedule_that_it_may_press(
    page: Page, tmp_path: Path, endpoints: Endpoints
) -> None:
    with server_with_keys(tmp_path, endpoints.url) as server:
        api = Api(server.url, "acme", server.acts)
        url = endpoints.serve("/ok", (200, 1))
        api.put_schedule("digest", url, **YEARLY)
        api.put_schedule("held", url, **YEARLY, paused=True, note="audit")
        buttons = {"digest": ["Trigger now…", "Backfill…", "Delete…", "Pause schedule…"]}
        buttons["held"] = [*buttons["digest"][:3], "Resume schedule"]
        for given, is_shown in ((server.reads, False), (server.acts, True)):
            server.enter(page, given)
            page.goto(f"{server.url}/dashboard#/acme/schedules")
            expect(page.locator("tbody tr")).to_have_count(2)
            for name, texts in buttons.items():
                page.goto(f"{server.url}/dashboard#/acme/schedules/{name}")
                expect(page.get_by_role("heading", name="Definition")).to_be_visible()
                expect(page.locator("main button:not(.json button)")).to_have_text(
                    texts if is_shown else []
                )
