"""On a phone, everything that is touched is 44 px high and wide, in every view."""

from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_access import views
from dashboard.test_search import options_of
from dashboard.test_watching import open_at

__all__ = ["views"]

# What is touched, with the box that takes the touch: the label of a box to tick, the row of a link that
# covers it. Not counted, as in WCAG 2.5.8: links in a text, what stands in the lines of JSON, and bars of a
# chart, whose numbers and runs are reached by dragging as well.
SMALL = """(least) => {
  const inText = (link) => {
    const block = link.closest("p, dd, dt, td, th, li, pre, h2");
    return block && block.textContent.trim() !== link.textContent.trim();
  };
  const boxOf = (node) => {
    if (node.matches(".row-link")) return node.closest("tr");
    if (node.matches("[type=checkbox], [type=radio]")) return node.closest("label") ?? node;
    return node;
  };
  const all = document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=option]");
  return [...all]
    .filter((node) => node.checkVisibility() && !node.closest(".plot-links") && !node.matches(".skip"))
    .filter((node) => !node.matches(".json-fold") && !node.closest("pre"))
    .filter((node) => !(node.matches("a") && getComputedStyle(node).display === "inline" && inText(node)))
    .map((node) => [node, boxOf(node).getBoundingClientRect()])
    .filter(([, { width, height }]) => width < least - 0.5 || height < least - 0.5)
    .map(([node, { width, height }]) =>
      `${node.tagName} .${node.className} “${node.textContent.trim().slice(0, 30)}” ` +
      `${Math.round(width)}×${Math.round(height)}`);
}"""
LEAST_PX = 44


def test_everything_that_is_touched_is_large_enough(
    page: Page, api: Api, endpoints: Endpoints, views: dict[str, str]
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    payload = {"items": [{"sku": f"TEA-{number}", "note": "a note"} for number in range(60)]}
    long = api.start(endpoints.serve("/long", (200, payload)), "long", payload=payload)
    cause = api.get("/causes")["causes"][0]["id"]
    found = {}

    def look(where: str) -> None:
        if small := page.evaluate(SMALL, LEAST_PX):
            found[where] = small

    for view, there in {
        **views,
        f"problems/{cause}": "tbody tr",
        f"runs/{long['runId']}": ".row",
        f"runs/{long['runId']}?step={long['id']}": ".panel",
    }.items():
        open_at(page, api, view)
        expect(page.locator(there).first).to_be_visible()
        look(view)
    page.get_by_role("button", name="Find in Input").click()
    expect(page.get_by_role("textbox", name="Find in Input")).to_be_visible()
    page.get_by_text("Details", exact=True).click()
    look("a step, with its details and a search")
    for view, button, there in (
        ("runs", "More", ".more-pages a"),
        ("runs", api.client, "dialog"),
        ("runs", "Help", "dialog"),
        ("waiting", "Send JSON…", "dialog"),
        ("problems", "of order", "dialog"),
        ("flow/free", "Pin…", "dialog"),
        ("flow/free", "Pause key…", ".paused-bar"),
        ("schedules/digest", "Backfill…", "dialog"),
    ):
        open_at(page, api, view)
        page.reload()
        page.get_by_role("button", name=button).or_(page.locator("summary", has_text=button)).first.click()
        expect(page.locator(there).first).to_be_visible()
        look(f"{view}, {button}")
    open_at(page, api, "runs")
    page.get_by_label("Search runs").fill("or")
    expect(options_of(page).first).to_be_visible()
    look("suggestions")
    page.goto(f"{api.server}/dashboard#/")
    expect(page.get_by_role("heading", name="Open a client")).to_be_visible()
    look("sign-in")
    assert found == {}
