"""Redrive and cancel in the dashboard: the request, the confirmation, the result."""

import re

from playwright.sync_api import Page, Route, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at


def test_a_dead_letter_is_redriven_and_its_run_succeeds(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/mend", (410, {"error": "gone"}), (200, {"mended": True}))
    run = api.start(url, "mend", workflow="repair")
    assert run["lastStatus"] == 410
    open_at(page, api, "problems")
    row = page.get_by_role("row").filter(has_text="repair")
    expect(row).to_contain_text("Status 410")
    expect(row).to_contain_text("the endpoint answered 410: gone")
    expect(page.get_by_role("link", name="Problems 1")).to_be_visible()

    row.get_by_role("link").click()
    page.get_by_role("row").filter(has_text="mend").get_by_role("link").click()
    expect(page.get_by_role("link", name="Problems 1")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="Problems 1")).to_be_visible()
    page.get_by_role("button", name="Redrive").first.click()
    dialog = page.get_by_role("dialog", name="Redrive this run?")
    expect(dialog).to_contain_text("Workflow repair, key mend.")
    expect(dialog).to_contain_text("Every failed step of it gets a fresh budget")
    expect(dialog).not_to_contain_text("ancestors")
    dialog.get_by_role("button", name="Redrive").click()

    expect(dialog).to_be_hidden()
    expect(page.get_by_role("status").filter(has_text="Redriven")).to_be_visible()
    open_at(page, api, "problems")
    expect(page.get_by_role("heading", name="No problem needs action")).to_be_visible()
    open_at(page, api, f"runs/{run['runId']}?step={run['id']}")
    expect(page.locator(".run-title .badge")).to_have_text("succeeded")
    expect(page.locator(".row .bar.is-permanent")).to_have_count(1)
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_role("complementary")).to_contain_text("Redriven")


def test_a_handled_failure_cannot_be_redriven(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/ok", None, (200, 0)), "gone", wait=False)
    api.start(endpoints.serve("/flight", (410, 0)), "gone", parent=run["id"])
    endpoints.release()

    open_at(page, api, "problems?state=handled")

    row = page.get_by_role("row").filter(has_text="flight")
    expect(row).to_contain_text("1")
    row.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("/flight in order")
    expect(page.get_by_role("button", name="Redrive")).to_have_count(0)
    page.locator("tbody").get_by_role("link").click()
    expect(page.get_by_role("complementary")).to_be_visible()
    expect(page.get_by_role("button", name="Redrive")).to_have_count(0)


def test_a_failed_run_is_dismissed_once(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/gone", (410, 0)), "gone")
    open_at(page, api, f"runs/{run['runId']}")

    page.get_by_role("button", name="Dismiss run").click()
    dialog = page.get_by_role("dialog", name="Dismiss this run?")
    dialog.get_by_role("button", name="Dismiss run").click()

    expect(page.get_by_role("status").filter(has_text="Dismissed: the run is failed now.")).to_be_visible()
    expect(page.get_by_role("button", name="Dismiss run")).to_have_count(0)
    expect(page.get_by_role("button", name="Redrive").first).to_be_visible()
    assert api.get(f"/runs/{run['runId']}")["run"]["dismissed"]["note"] == ""


def test_one_step_is_cancelled_and_its_run_goes_on(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/busy", (503, 0)), "busy", wait=False, retry={"count": 9})
    slow = endpoints.serve("/hangs", (503, 0))
    step = api.start(slow, "busy", parent=run["id"], wait=False, retry={"count": 9})
    open_at(page, api, f"runs/{run['runId']}?step={step['id']}")

    page.get_by_role("button", name="Cancel step").click()
    dialog = page.get_by_role("dialog", name="Cancel this step?")
    expect(dialog).to_contain_text("Step “hangs” of workflow order, key busy.")
    dialog.get_by_role("button", name="Cancel step").click()

    expect(page.get_by_role("status").filter(has_text="The step is cancelled")).to_be_visible()
    assert api.get(f"/steps/{step['id']}")["errorKind"] == "step_cancelled"
    assert api.get(f"/steps/{run['id']}")["status"] != "cancelled"
    open_at(page, api, f"runs/{run['runId']}?step={run['id']}")
    expect(page.get_by_role("complementary")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel step")).to_have_count(0)


def test_a_retry_is_made_now(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/later", (503, 0), (200, {"came": "now"}))
    run = api.start(url, "later", wait=False, retry={"count": 1, "backOff": 3_600_000, "jitter": "none"})
    open_at(page, api, f"runs/{run['runId']}?step={run['id']}")
    expect(page.locator(".run-title .badge")).to_have_text("retrying")

    page.get_by_role("complementary").get_by_role("button", name="Run now").click()
    dialog = page.get_by_role("dialog", name="Run now?")
    expect(dialog).to_contain_text("its next attempt is made")
    dialog.get_by_role("button", name="Run now").click()

    expect(page.get_by_role("status").filter(has_text="Due: the run is")).to_be_visible()
    expect(page.locator(".run-title .badge")).to_have_text("succeeded")
    expect(page.get_by_role("button", name="Run now")).to_have_count(0)
    assert api.get(f"/steps/{run['id']}")["attempts"] == 2


def test_a_sleep_is_ended_and_a_start_is_made_now(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/later", (200, {"came": "now"}))
    run = api.start(url, "delayed", wait=False, delay=3_600_000)
    times = {"kind": "timer", "stepName": "night", "delay": 86_400_000}
    nap = api.start("", "delayed", parent=run["id"], wait=False, **times)
    for step_id, wakes in ((nap["id"], "in 23 h"), (run["id"], "in 59 min")):
        open_at(page, api, f"runs/{run['runId']}?step={step_id}")
        panel = page.get_by_role("complementary")
        expect(panel).to_contain_text(wakes)
        panel.get_by_role("button", name="Run now").click()
        page.get_by_role("dialog").get_by_role("button", name="Run now").click()
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(panel.locator(".badge").first).to_have_text("succeeded")
        expect(panel.get_by_role("button", name="Run now")).to_have_count(0)
    assert [api.get(f"/steps/{each['id']}")["attempts"] for each in (run, nap)] == [1, 0]


def test_an_open_event_is_not_made_due(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/busy", (503, 0)), "waits", wait=False, retry={"count": 9})
    event = api.start("", "waits", parent=run["id"], wait=False, kind="event", stepName="approval")
    open_at(page, api, f"runs/{run['runId']}?step={event['id']}")
    complementary = page.get_by_role("complementary")
    expect(complementary.get_by_role("button", name="Cancel step")).to_be_visible()
    expect(complementary.get_by_role("button", name="Run now")).to_have_count(0)


def test_closing_the_dialog_changes_nothing(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/lost", (410, 0)), "lost")
    open_at(page, api, "problems")
    page.get_by_role("button", name="Redrive").last.click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert len(api.get("/dead-letters")["deadLetters"]) == 1


def test_a_run_is_cancelled(page: Page, api: Api, endpoints: Endpoints) -> None:
    retry = {"count": 5, "backOff": 600_000, "jitter": "none"}
    run = api.start(endpoints.serve("/down", (503, 0)), "down", wait=False, retry=retry)
    open_at(page, api, f"runs/{run['runId']}")
    page.get_by_role("button", name="Cancel run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel run").click()
    expect(page.locator(".run-title .badge")).to_have_text("cancelled")
    expect(page.get_by_role("status").filter(has_text="The run is cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel run")).to_be_hidden()
    expect(page.locator("main")).to_be_focused()
    assert api.get(f"/runs/{run['runId']}")["run"]["status"] == "cancelled"


def test_a_refusal_of_the_server_is_shown_in_the_dialog(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/lost", (410, 0)), "lost")
    open_at(page, api, f"runs/{run['runId']}")
    page.route("**/redrive", lambda route: route.fulfill(status=503, json={"title": "Out of breath"}))
    page.get_by_role("button", name="Redrive").last.click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    expect(page.get_by_role("alert")).to_contain_text("Out of breath")


def test_the_result_of_one_dialog_does_not_close_another(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    run = api.start(endpoints.serve("/lost", (410, 0)), "lost")
    other = api.start(endpoints.serve("/held", None, (200, 0)), "held", wait=False)
    open_at(page, api, f"runs/{other['runId']}")
    expect(page.get_by_role("button", name="Cancel run")).to_be_visible()
    open_at(page, api, f"runs/{run['runId']}")
    held: list[Route] = []
    page.route("**/redrive", lambda route: held.append(route))
    page.get_by_role("button", name="Redrive").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    expect(page.get_by_role("dialog")).to_contain_text("Working…")
    page.go_back()
    page.get_by_role("button", name="Cancel run").click()
    dialog = page.get_by_role("dialog", name="Cancel this run?")
    expect(dialog).to_be_visible()

    held[0].fulfill(status=503, json={"title": "Out of breath"})

    expect(page.get_by_role("status").filter(has_text="Out of breath")).to_be_visible()
    expect(dialog).to_be_visible()
    expect(dialog).not_to_contain_text("Out of breath")
    expect(dialog.get_by_role("button", name="Cancel run")).to_be_enabled()


def test_a_paused_run_says_since_when_and_counts_nothing_down(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    retry = {"count": 9, "backOff": 600_000, "jitter": "none"}
    run = api.start(endpoints.serve("/down", (503, 0)), "k", wait=False, retry=retry)
    nap = {"kind": "timer", "stepName": "nap", "parent": run["id"]}
    api.start("", "nap", wait=False, delay=3_600_000, **nap)
    open_at(page, api, f"runs/{run['runId']}?step={run['id']}")
    row, panel = page.locator(".row").first, page.get_by_role("complementary")
    expect(row.locator(".next")).to_contain_text("retry in")
    expect(panel).to_contain_text("Next retry")
    api.post(f"/runs/{run['runId']}/pause", {"note": "the bank is down"})
    expect(row.locator(".next")).to_have_text(re.compile("^paused for [0-9]+ s$"))
    expect(row).to_have_attribute("aria-label", re.compile("retrying, paused,"))
    expect(page.locator(".run-title")).to_contain_text(re.compile("paused since [0-9:]{8}"))
    expect(panel).to_contain_text(re.compile("Paused ?since .*, until it is resumed"))
    expect(panel).not_to_contain_text("Next retry")
    # A timer ends as always.
    expect(page.locator(".row").last.locator(".next")).to_contain_text("wakes in")
    api.post(f"/runs/{run['runId']}/resume")
    expect(row.locator(".next")).to_contain_text("retry in")
    expect(panel).to_contain_text("Next retry")


def test_a_run_is_paused_and_resumed(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/later", (200, 0)), "held", wait=False, paused=True)
    open_at(page, api, f"runs/{run['runId']}")
    title = page.locator(".run-title")
    expect(title).to_contain_text("paused")
    expect(page.get_by_role("button", name="Pause run")).to_have_count(0)

    page.get_by_role("button", name="Resume run").click()
    page.get_by_role("dialog", name="Resume this run?").get_by_role("button", name="Resume run").click()

    expect(page.get_by_role("status").filter(has_text="Resumed")).to_be_visible()
    expect(title).to_contain_text("succeeded")
    busy = api.start(endpoints.serve("/busy", (503, 0)), "busy", wait=False, retry={"count": 9})
    open_at(page, api, f"runs/{busy['runId']}")
    page.get_by_role("button", name="Pause run").click()
    page.get_by_role("dialog", name="Pause this run?").get_by_role("button", name="Pause run").click()
    expect(page.get_by_role("status").filter(has_text="Paused")).to_be_visible()
    expect(page.get_by_role("button", name="Resume run")).to_be_visible()


def test_a_run_is_restarted_and_the_new_one_is_shown(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/again", (410, 0), (200, {"came": "again"}))
    run = api.start(url, "again")
    step = api.start(endpoints.serve("/live", (503, 0)), "again", parent=run["id"], wait=False)
    open_at(page, api, f"runs/{run['runId']}")
    page.get_by_role("button", name="Restart run").click()
    dialog = page.get_by_role("dialog", name="Restart this run?")
    expect(dialog).to_contain_text("what has succeeded is called again as well")
    dialog.get_by_role("button", name="Restart run").click()

    expect(page.get_by_role("status").filter(has_text="Restarted under the key again/2")).to_be_visible()
    expect(page.locator(".facts").first).to_contain_text("again/2")
    expect(page.locator(".run-title .badge")).to_have_text("succeeded")
    held = api.start(endpoints.serve("/held", (503, 0)), "held", wait=False, retry={"count": 9})
    done = api.start(endpoints.serve("/done", (200, 0)), "held", parent=held["id"])
    assert (step["parent"], done["status"]) == (run["id"], "succeeded")
    open_at(page, api, f"runs/{held['runId']}")
    expect(page.get_by_role("button", name="Cancel run")).to_be_visible()
    expect(page.get_by_role("button", name="Restart run")).to_have_count(0)
