"""What pages show fits: nothing is cut at the side of a phone; the header begins where the page does."""

import pytest
from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_watching import open_at

# How many pixels of a scroller are out of sight, by its class.
HIDDEN_PX = """(selector) => Object.fromEntries([...document.querySelectorAll(selector)]
    .map((node) => [node.className, node.scrollWidth - node.clientWidth]))"""


@pytest.mark.parametrize(
    ("view", "there", "scroller"),
    [
        ("overview", ".workflows tbody td", ".scroll-x"),
        ("flow", ".endpoints tbody td", ".scroll-x"),
        ("runs/{run}", ".row", ".tools"),
    ],
)
def test_nothing_is_cut_on_a_phone(
    page: Page, api: Api, endpoints: Endpoints, view: str, there: str, scroller: str
) -> None:
    flaky = endpoints.serve("/flaky", (500, 0), (200, 1))
    root = api.start(flaky, "a-key", retry={"count": 3, "backOff": 20, "jitter": "none"})
    for name in ("one", "two", "three", "four", "five"):
        api.start(flaky, "a-key", parent=root["id"], stepName=name)
    # So that there is a button for what failed, too.
    api.start(endpoints.serve("/bad", (410, 0)), "a-key", parent=root["id"], stepName="bad")
    page.set_viewport_size({"width": 390, "height": 800})
    open_at(page, api, view.format(run=root["runId"]))
    expect(page.locator(there).first).to_be_visible()
    expect(page.locator(scroller)).to_have_count(1)
    assert page.evaluate(HIDDEN_PX, scroller) == {scroller[1:]: 0}


def test_a_number_on_a_phone_stands_beside_its_name(page: Page, api: Api, endpoints: Endpoints) -> None:
    api.start(endpoints.serve("/bad", (410, 0)), "a-key")
    page.set_viewport_size({"width": 390, "height": 800})
    name_of = "node => getComputedStyle(node, '::before').content"
    for view, table in (("overview", ".workflows"), ("flow", ".endpoints")):
        open_at(page, api, view)
        cells = page.locator(f"{table} tbody tr:first-child td.c-failed")
        expect(cells).to_have_text(["1"])
        assert cells.evaluate(name_of) == '"Failed"'


def test_the_header_begins_where_the_page_does(page: Page, api: Api) -> None:
    for width in (390, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        open_at(page, api, "overview")
        heading = page.get_by_role("heading", level=1).bounding_box()
        brand = page.locator(".brand").bounding_box()
        assert heading is not None
        assert brand is not None
        assert abs(heading["x"] - brand["x"]) < 1, width
