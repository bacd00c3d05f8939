"""What the dialog before a redrive of many runs says, and that no other runs are redriven."""

from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_problems import failing
from dashboard.test_watching import open_at


def test_the_urls_are_those_of_the_run_though_many_keys_begin_with_its_key(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    failed = endpoints.serve("/out", (503, {"error": "away"}))
    api.start(failed, "job", retry={"count": 0})
    declined = endpoints.serve("/declined", (402, {"error": "declined"}))
    for number in range(51):
        api.start(declined, f"job-{number}", retry={"count": 0})
    open_at(page, api, "problems")
    page.get_by_role("button", name="Redrive 1 run of order").click()
    dialog = page.get_by_role("dialog", name="Redrive 1 run?")
    expect(dialog.get_by_text(failed, exact=True)).to_be_visible()
    expect(dialog.get_by_text("URLs called", exact=True)).to_be_visible()
    expect(dialog).not_to_contain_text("nothing")


def test_some_urls_of_many_are_not_said_to_be_all(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, *(f"k{number}" for number in range(8)))
    open_at(page, api, "problems")
    page.get_by_role("button", name="Redrive 8 runs of order").click()
    dialog = page.get_by_role("dialog", name="Redrive 8 runs?")
    expect(dialog.get_by_text("URLs called, such as", exact=True)).to_be_visible()
    expect(dialog.get_by_text(endpoints.url)).to_have_count(3)


def test_the_urls_have_the_handler_and_the_steps_that_failed(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    handler = endpoints.serve("/handler", (503, 0), (410, {"error": "gone"}))
    run = api.start(handler, "k", wait=False, retry={"count": 1, "backOff": 1500, "jitter": "none"})
    step = endpoints.serve("/step", (410, {"error": "gone"}))
    api.start(step, "another", parent=run["id"])
    api.start(handler, "k")
    open_at(page, api, "problems")
    page.get_by_role("button", name="Redrive 1 run of").click()
    dialog = page.get_by_role("dialog", name="Redrive 1 run?")
    expect(dialog.get_by_text(step, exact=True)).to_be_visible()
    expect(dialog.get_by_text(handler, exact=True)).to_be_visible()


def test_more_runs_than_the_button_says_are_not_redriven(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    failing(api, endpoints, "a", "b")
    open_at(page, api, "problems")
    page.get_by_role("button", name="Redrive 2 runs of order").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Redrive 2 runs").wait_for()
    failing(api, endpoints, "c")
    dialog.get_by_role("button", name="Redrive 2 runs").click()
    expect(dialog.get_by_role("alert")).to_contain_text(
        "3 runs fit now, and no longer 2. Nothing was done."
    )
    expect(dialog.locator("code").filter(has_text="c")).not_to_have_count(0)
    assert api.get("/runs?workflowName=bulk/redrive")["runs"] == []
    dialog.get_by_role("button", name="Redrive 3 runs").click()
    expect(page.get_by_role("region", name="Progress")).to_contain_text("3 runs redriven")
