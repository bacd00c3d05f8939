"""The page of a run: why it failed, the panel beside the steps, and what an operator does there."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at

TRACE = "Traceback (most recent call last):\n  File \"pay.py\", line 4\nKeyError: 'currency'"


@pytest.fixture
def failed(api: Api, endpoints: Endpoints) -> dict[str, Any]:
    """A run whose step `charge card` failed after a retry; the answer has a stack trace."""
    root = endpoints.serve("/order", None, (500, {"detail": "step charge card failed"}))
    payload = {"order": "O-1", "customer": {"name": "Ada", "tags": ["a", "b"]}}
    run: dict[str, Any] = api.start(root, "order-1", wait=False, retry={"count": 0}, payload=payload)
    answer = {"detail": "KeyError: 'currency'", "traceback": TRACE}
    retry = {"count": 1, "backOff": 1, "jitter": "none"}
    more = {"parent": run["id"], "retry": retry, "payload": payload}
    api.start(endpoints.serve("/charge", (500, answer)), "order-1", stepName="charge card", **more)
    api.start(endpoints.serve("/ok", (200, {"ok": 1})), "order-1", parent=run["id"], stepName="reserve")
    endpoints.release()
    return run


def test_a_failed_run_says_why_and_shows_the_step(page: Page, api: Api, failed: Any) -> None:
    open_at(page, api, f"runs/{failed['runId']}")
    why = page.get_by_role("region", name="Why this run failed")
    expect(why).to_contain_text("charge card failed after 2 attempts")
    expect(why).to_contain_text("KeyError: 'currency'")
    panel = page.get_by_role("complementary", name="Step charge card")
    expect(panel).to_be_visible()
    parts = panel.locator("h3:visible, .step-details > summary")
    expect(parts).to_have_text(["Stack trace", "Input", "Response", "Attempts", "Details"])
    expect(panel.get_by_role("region", name="Stack trace")).to_have_text(TRACE)
    attempts = panel.locator(".attempts li")
    expect(attempts.nth(0)).to_contain_text("same error as #1")
    expect(attempts.nth(1)).to_contain_text("the endpoint answered 500")


def test_two_attempts_are_compared(page: Page, api: Api, endpoints: Endpoints) -> None:
    answers = [
        (500, {"error": "<b>no</b> stock"}),
        (503, {"error": "no stock"}),
        (503, {"error": "no luck"}),
    ]
    retry = {"count": 2, "backOff": 1, "jitter": "none"}
    run = api.start(endpoints.serve("/order", *answers), "k", retry=retry)
    open_at(page, api, f"runs/{run['runId']}")
    panel = page.get_by_role("complementary")
    panel.get_by_text("Compare two attempts").click()
    before, after = (panel.get_by_role("region", name=f"Attempt #{number}") for number in (2, 3))
    differ = panel.get_by_role("status")
    expect(differ).to_contain_text(re.compile("What differs: .*outcome.*error[.]$"))
    expect(differ).not_to_contain_text("status")
    expect(before.locator("mark")).to_contain_text(["failed", "stock"])
    expect(after.locator("mark")).to_contain_text(["failed, no retry", "luck"])
    panel.get_by_role("combobox", name="Compare").select_option("#1")
    first = panel.get_by_role("region", name="Attempt #1")
    expect(first).to_contain_text("<b>no</b> stock")
    expect(first.locator("mark").filter(has_text="500").first).to_be_visible()
    expect(differ).to_contain_text("status")
    side, beside = first.bounding_box(), after.bounding_box()
    assert side is not None
    assert beside is not None
    assert side["y"] == beside["y"]
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{page.url}?step={run['id']}")
    side, beside = first.bounding_box(), after.bounding_box()
    assert side is not None
    assert beside is not None
    assert side["y"] + side["height"] <= beside["y"]
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_an_ended_run_shows_its_input_and_result_at_once(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    run = api.start(endpoints.serve("/sum", (200, {"sum": 3})), "sum", payload={"of": [1, 2]})
    open_at(page, api, f"runs/{run['runId']}")
    panel = page.get_by_role("complementary", name="Run order")
    expect(panel.get_by_role("heading", level=3)).to_have_text(["Input", "Result", "Attempts"])
    expect(panel.get_by_role("region", name="Input")).to_contain_text('"of"')
    expect(panel.get_by_role("region", name="Result")).to_contain_text('"sum": 3')
    expect(page.get_by_role("region", name="Why this run failed")).to_have_count(0)


def test_json_folds_and_its_long_lines_need_not_wrap(page: Page, api: Api, endpoints: Endpoints) -> None:
    payload = {"customer": {"name": "Ada", "tags": ["a", "b"]}, "text": "word " * 60}
    run = api.start(endpoints.serve("/ok", (200, 1)), "folds", payload=payload)
    open_at(page, api, f"runs/{run['runId']}")
    shown = page.get_by_role("region", name="Input")
    expect(shown).to_contain_text('"tags"')
    shown.get_by_role("button", name='Fold "customer"').click()
    expect(shown).not_to_contain_text('"tags"')
    expect(shown).to_contain_text('"customer": {…}')
    wide = "node => node.scrollWidth > node.clientWidth"
    assert shown.evaluate(wide) is False
    page.get_by_label("Wrap lines").click()
    assert shown.evaluate(wide) is True


def test_values_of_json_have_the_colour_of_their_kind(page: Page, api: Api, endpoints: Endpoints) -> None:
    payload = {"text": "x, y", "number": -1.5e3, "no": None, "yes": True, "list": [1, {}], "empty": []}
    run = api.start(endpoints.serve("/ok", (200, "plain words")), "kinds", payload=payload)
    open_at(page, api, f"runs/{run['runId']}")
    shown = page.get_by_role("region", name="Input")
    expect(shown.locator(".json-string")).to_have_text(['"x, y"'])
    expect(shown.locator(".json-number")).to_have_text(["1", "-1500"])
    expect(shown.locator(".json-word")).to_have_text(["null", "true"])
    assert json.loads(shown.inner_text()) == payload
    colours = {
        shown.locator(f".json-{kind}").first.evaluate("node => getComputedStyle(node).color")
        for kind in ("name", "string", "number", "word")
    }
    assert len(colours) == 4
    # A text is no JSON for people.
    expect(page.get_by_role("region", name="Result").locator(".json-string")).to_have_count(0)


def test_a_long_json_is_searched(page: Page, api: Api, endpoints: Endpoints) -> None:
    notes = {7: "a [b] c", 907: "a [b] c"}
    items = [{"sku": f"TEA-{number}", "note": notes.get(number, "")} for number in range(1_001)]
    run = api.start(endpoints.serve("/ok", (200, 1)), "long", payload={"items": items})
    open_at(page, api, f"runs/{run['runId']}")
    shown = page.get_by_role("region", name="Input", exact=True)
    expect(shown).not_to_contain_text("TEA-907")
    expect(page.get_by_role("button", name="Find in Result")).to_have_count(0)
    page.get_by_role("button", name="Find in Input").click()
    field = page.get_by_role("textbox", name="Find in Input")
    expect(field).to_be_focused()
    field.fill("A [B]")
    said = page.get_by_role("search").filter(has=field).get_by_role("status")
    expect(said).to_have_text("1 of 2")
    expect(shown.locator("mark.here")).to_have_text("a [b]")
    expect(shown.locator("mark.here")).to_be_in_viewport()
    field.press("Enter")
    expect(said).to_have_text("2 of 2")
    # It is in what is not shown without a search.
    expect(shown).to_contain_text("TEA-907")
    expect(shown.locator("mark.here")).to_be_in_viewport()
    field.press("Enter")
    expect(said).to_have_text("1 of 2")
    field.press("Shift+Enter")
    expect(said).to_have_text("2 of 2")
    field.fill('"sku"')
    expect(said).to_have_text("1 of 1000+")
    field.fill("nothing like it")
    expect(said).to_have_text("No hit")
    field.press("Escape")
    expect(page.get_by_role("button", name="Find in Input")).to_be_focused()
    expect(shown.locator("mark")).to_have_count(0)
    expect(shown).not_to_contain_text("TEA-907")


def test_a_search_counts_the_hits_that_it_marks(page: Page, api: Api, endpoints: Endpoints) -> None:
    notes = [f"a, {number}" for number in range(200)]
    run = api.start(endpoints.serve("/ok", (200, f"one,\ntwo,\n{'three' * 300},")), "marks", payload=notes)
    open_at(page, api, f"runs/{run['runId']}")
    for name, typed, number in (
        # The comma behind a value is not a part of it, but one in a plain text is.
        ("Input", ",", 200),
        ("Input", '3",', 0),
        ("Input", '3"', 20),
        ("Result", ",", 3),
    ):
        part = page.get_by_role("region", name=name, exact=True)
        if not page.get_by_role("textbox", name=f"Find in {name}").count():
            page.get_by_role("button", name=f"Find in {name}").click()
        field = page.get_by_role("textbox", name=f"Find in {name}")
        field.fill(typed)
        said = page.get_by_role("search").filter(has=field).get_by_role("status")
        expect(said).to_have_text(f"1 of {number}" if number else "No hit")
        expect(part.locator("mark")).to_have_count(number)


def test_a_search_says_more_only_when_there_is_more(page: Page, api: Api, endpoints: Endpoints) -> None:
    payload = {"all": "#" * 1_000, "more": "%" * 1_001, "of": f"from run_{'0' * 32}"}
    run = api.start(endpoints.serve("/ok", (200, 1)), "more", payload=payload)
    open_at(page, api, f"runs/{run['runId']}")
    page.get_by_role("button", name="Find in Input").click()
    field = page.get_by_role("textbox", name="Find in Input")
    said = page.get_by_role("search").filter(has=field).get_by_role("status")
    # A link is marked by itself, so nothing is a hit that is only partly in it.
    for typed, text in (("#", "1 of 1000"), ("%", "1 of 1000+"), ("run_", "1 of 1"), ("m run_", "No hit")):
        field.fill(typed)
        expect(said).to_have_text(text)


def test_an_open_event_is_approved_rejected_or_answered(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/busy", (503, 0)), "waits", wait=False, retry={"count": 9})
    answers = {"Approve": {"approved": True}, "Send": {"limit": 12345678901234567890}, "Reject": None}
    for name, result in answers.items():
        made = {"kind": "event", "stepName": f"event {name}", "parent": run["id"]}
        event = api.start("", "waits", wait=False, **made)
        open_at(page, api, f"runs/{run['runId']}?step={event['id']}")
        panel = page.get_by_role("complementary", name=f"Step event {name}")
        panel.get_by_role("button", name="Send JSON…" if name == "Send" else f"{name}…", exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_contain_text(f"“event {name}”")
        if name == "Send":
            box = dialog.get_by_label("Result, as JSON")
            box.fill("{")
            expect(dialog.get_by_role("alert")).to_contain_text("This is not JSON")
            expect(dialog.get_by_role("button", name="Send")).to_be_disabled()
            box.fill('{"limit": 12345678901234567890}')
        if name == "Reject":
            dialog.get_by_label("Reason").fill("too late")
        dialog.get_by_role("button", name=name).click()
        expect(dialog).to_be_hidden()
        expect(panel.get_by_role("button", name="Approve…")).to_have_count(0)
        step = api.get(f"/steps/{event['id']}")
        assert step["status"] == ("failed" if name == "Reject" else "succeeded")
        assert name == "Reject" or step["response"] == result


def test_a_run_is_started_again_with_an_edited_input(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/again", (410, 0), (200, 0))
    run = api.start(url, "again", payload={"amount": 12345678901234567890})
    open_at(page, api, f"runs/{run['runId']}")
    page.get_by_role("button", name="Restart with edited input…").click()
    editor = page.get_by_role("dialog", name="Restart order with edited input")
    box = editor.get_by_label("Input, as JSON")
    expect(box).to_have_value('{\n  "amount": 12345678901234567890\n}')
    expect(editor).to_contain_text(f"A new run of order calls {url} with this input.")
    box.fill('{"amount": 12345678901234567891}')
    editor.get_by_role("button", name="Restart run").click()
    expect(page.locator(".run-head .facts")).to_contain_text("again/2")
    expect(page.get_by_role("region", name="Input")).to_contain_text("12345678901234567891")
    link = page.locator(".run-head").get_by_role("link", name=re.compile("run_"))
    expect(link).to_have_attribute("href", f"#/{api.client}/runs/{run['runId']}")


def test_an_edited_input_is_not_lost_unasked(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/gone", (410, 0)), "k", payload=1)
    open_at(page, api, f"runs/{run['runId']}")
    opens = page.get_by_role("button", name="Restart with edited input…")
    opens.click()
    editor = page.get_by_role("dialog", name="Restart order with edited input")
    expect(editor).to_be_visible()
    # Nothing is lost, so nothing is asked.
    page.keyboard.press("Escape")
    expect(editor).to_have_count(0)
    opens.click()
    box = editor.get_by_label("Input, as JSON")
    box.fill('{"mine": 1}')
    for _ in range(3):
        page.keyboard.press("Escape")
    expect(editor.get_by_role("alert")).to_contain_text("is lost then")
    expect(editor.get_by_role("button", name="Go on editing")).to_be_focused()
    editor.get_by_role("button", name="Go on editing").click()
    expect(editor.get_by_role("alert")).to_have_count(0)
    expect(box).to_have_value('{"mine": 1}')
    editor.get_by_role("button", name="Cancel").click()
    editor.get_by_role("button", name="Lose the text").click()
    expect(editor).to_have_count(0)
    assert len(api.get("/runs")["runs"]) == 1


def test_a_reason_is_not_lost_unasked(page: Page, api: Api, endpoints: Endpoints) -> None:
    run = api.start(endpoints.serve("/busy", (503, 0)), "k", wait=False, retry={"count": 9})
    made = {"kind": "event", "stepName": "approval", "parent": run["id"]}
    event = api.start("", "k", wait=False, **made)
    open_at(page, api, f"runs/{run['runId']}?step={event['id']}")
    opens = page.get_by_role("button", name="Reject…")
    opens.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    opens.click()
    dialog.get_by_label("Reason").fill("too late")
    for leave in (
        lambda: page.keyboard.press("Escape"),
        lambda: page.mouse.click(2, 2),
        lambda: dialog.get_by_role("button", name="Cancel").click(),
    ):
        leave()
        expect(dialog.get_by_role("alert")).to_contain_text("is lost then")
        dialog.get_by_role("button", name="Go on editing").click()
        expect(dialog.get_by_label("Reason")).to_have_value("too late")
    dialog.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Lose the text").click()
    expect(dialog).to_have_count(0)
    assert api.get(f"/steps/{event['id']}")["status"] == "pending"


def test_a_child_run_and_its_parent_lead_to_each_other(page: Page, api: Api, endpoints: Endpoints) -> None:
    parent = api.start(endpoints.serve("/busy", (503, 0)), "parent", wait=False, retry={"count": 9})
    url = endpoints.serve("/bill", (200, 0))
    child = {"kind": "run", "stepInvokeUrl": url, "run": {"workflowName": "bill", "idempotencyKey": "b"}}
    link = api.start(url, "parent", wait=False, parent=parent["id"], **child)
    open_at(page, api, f"runs/{parent['runId']}?step={link['id']}")
    panel = page.get_by_role("complementary")
    panel.get_by_role("link", name=re.compile("run_")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("bill")
    page.locator(".run-head").get_by_role("link", name=re.compile("run_")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("order")


def test_the_buttons_name_what_they_act_on(page: Page, api: Api, failed: Any) -> None:
    open_at(page, api, f"runs/{failed['runId']}")
    actions = page.locator(".run-actions")
    expect(actions.get_by_role("button", name="Redrive run")).to_be_visible()
    panel = page.get_by_role("complementary")
    expect(panel.get_by_role("button", name="Redrive step")).to_be_visible()
    expect(page.get_by_role("button", name="Redrive", exact=True)).to_have_count(0)


def test_characters_that_turn_text_around_are_written_out(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    turned = "pay \u202elive"
    run = api.start(endpoints.serve("/ok", (200, 1)), "k", workflow=turned, payload={"a": turned})
    open_at(page, api, f"runs/{run['runId']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("pay \\u202elive")
    expect(page.get_by_role("region", name="Input")).to_contain_text("pay \\u202elive")
    assert "\u202e" not in page.locator("main").inner_text()


def test_a_live_run_shows_what_failed_in_it_for_good(page: Page, api: Api, endpoints: Endpoints) -> None:
    retry = {"count": 9, "backOff": 600_000, "jitter": "none"}
    run = api.start(endpoints.serve("/busy", (503, 0)), "k", wait=False, retry=retry)
    once = {"retry": {"count": 0}}
    held = endpoints.serve("/outer", None, (500, {"detail": "step inner failed"}))
    outer = api.start(held, "k", parent=run["id"], stepName="outer", wait=False, **once)
    refused = endpoints.serve("/inner", (402, {"detail": "no money"}))
    inner = api.start(refused, "k", parent=outer["id"], stepName="inner", **once)
    endpoints.release()
    open_at(page, api, f"runs/{run['runId']}")
    failed = page.get_by_role("region", name="What failed in this run")
    expect(failed).to_contain_text("inner failed after 1 attempt")
    expect(failed).to_contain_text("no money")
    expect(failed).to_contain_text("The run still goes on: it is retrying.")
    expect(page.get_by_role("complementary", name="Run order")).to_be_visible()
    failed.get_by_role("link", name="Go to step").click()
    expect(page.get_by_role("complementary", name="Step inner")).to_be_visible()
    assert f"step={inner['id']}" in page.url
    api.post(f"/runs/{run['runId']}/pause")
    expect(failed).to_contain_text("The run has not failed: it is paused.")
    api.post(f"/runs/{run['runId']}/resume")
    api.post(f"/runs/{run['runId']}/cancel")
    expect(failed).to_have_count(0)


def test_a_step_that_is_retried_has_no_result_yet(page: Page, api: Api, endpoints: Endpoints) -> None:
    busy = endpoints.serve("/busy", (503, {"error": "again"}))
    run = api.start(busy, "busy", wait=False, retry={"count": 9, "backOff": 600_000})
    open_at(page, api, f"runs/{run['runId']}")
    panel = page.get_by_role("complementary")
    expect(panel.locator(".error-text")).to_contain_text("again")
    result = panel.locator("section").filter(has=page.get_by_role("heading", name="Result"))
    expect(result).to_contain_text("None yet.")
    expect(result).not_to_contain_text("null")
