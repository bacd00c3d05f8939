"""What stands above the pages after many runs were redriven, or while they are."""

from playwright.sync_api import Locator, Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_problems import failing
from dashboard.test_watching import open_at


def failing_otherwise(api: Api, endpoints: Endpoints, key: str) -> None:
    """A run that fails like the others, and for another cause after its redrive."""
    url = endpoints.serve(f"/{key}", (410, {"error": "gone"}), (422, {"error": "no tax id"}))
    api.start(url, key, retry={"count": 0})


def redriven(page: Page, number: int) -> Locator:
    """The progress after the redrive of the only cause."""
    page.get_by_role("button", name=f"Redrive {number} run").click()
    page.get_by_role("dialog").get_by_role("button", name=f"Redrive {number} run").click()
    return page.get_by_role("region", name="Progress")


def test_runs_that_fail_again_for_another_cause_are_counted(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    failing(api, endpoints, "a", "b")
    failing_otherwise(api, endpoints, "c")
    failing(api, endpoints, "d", then=200)
    open_at(page, api, "problems")
    progress = redriven(page, 4)
    expect(progress).to_contain_text("4 runs redriven")
    expect(progress).to_contain_text("3 failed again: 2 for the same cause, 1 for another cause")
    progress.get_by_role("link", name="another cause").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_the_oldest_of_many_runs_that_fail_again_are_counted(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    gone = endpoints.serve("/gone", (410, {"error": "gone"}))
    for number in range(104):
        api.start(gone, f"k-{number:03}")
    third = api.get("/runs?keyPrefix=k-002")["runs"][0]
    open_at(page, api, "problems")
    page.locator(".row-link").click()
    expect(page.locator("tbody tr")).to_have_count(50)
    page.goto(f"{page.url}?period=custom&to={third['createdAt']}")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Redrive those of this time…").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive 2 runs").click()
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("2 runs redriven · 2 failed again: 2 for the same cause")


def test_chosen_runs_that_fail_again_are_counted(page: Page, api: Api, endpoints: Endpoints) -> None:
    failing(api, endpoints, "a", "b", "unchosen")
    failing_otherwise(api, endpoints, "c")
    failing(api, endpoints, "d", then=200)
    open_at(page, api, "problems")
    page.locator(".row-link").click()
    for key in ("a", "c", "d"):
        page.get_by_role("checkbox", name=f"Choose the run with key {key}", exact=True).check()
    page.get_by_role("button", name="Redrive 3…").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive 3 runs").click()
    progress = page.get_by_role("region", name="Progress")
    expect(progress).to_contain_text("3 runs redriven · 2 failed again")
    expect(progress).to_contain_text("1 for the same cause, 1 for another cause")
    expect(progress.get_by_role("link", name="Details")).to_have_count(0)


def test_runs_that_a_crash_left_out_of_the_count_are_named(
    page: Page, api: Api, endpoints: Endpoints
) -> None:
    failing(api, endpoints, "a", then=200)

    def tell(changes: dict[str, int]) -> None:
        ended = {"status": "succeeded", "finishedAt": "2026-11-30T00:00:00.000Z", **changes}
        page.route(
            "**/bulk/*", lambda route: route.fulfill(json={**route.fetch().json(), **ended}), times=1
        )

    tell({"runs": 400, "done": 370, "skipped": 5, "refused": 0})
    open_at(page, api, "problems")
    progress = redriven(page, 1)
    expect(progress).to_contain_text("370 of 400 runs redriven · 5 skipped · 25 not counted")
