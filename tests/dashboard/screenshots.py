"""`make screenshots`: takes the screenshots of the documentation's pages, small enough for a repository.

With a second directory, it takes every view there: on a desktop in light, in dark and with
forced colours, and on a phone.
"""

import io
import json
import math
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from dashboard.scene import CLIENT, FEED, MAILS, Scene, scene

COLOURS: Final = 256
SIZE_MAX_BYTES: Final = 80_000
_SETTLE_MS: Final = 700


@dataclass(frozen=True)
class Look:
    """A window of a browser."""

    scheme: Any
    width: int
    height: int
    forced: Any = "none"


LOOKS: Final = {
    "desktop": Look("light", 1440, 900),
    "phone": Look("light", 390, 844),
    "dark": Look("dark", 1440, 900),
    "forced": Look("light", 1440, 900, "active"),
}


def _click(selector: str) -> Callable[[Page], None]:
    return lambda page: page.locator(selector).first.click()


def _help(page: Page) -> None:
    page.locator("body").press("?")


def _backfill(page: Page) -> None:
    page.get_by_role("button", name="Backfill…").click()
    for label, day in (("From", "01"), ("Before", "15")):
        page.get_by_label(f"{label} (").fill(f"2026-06-{day}T00:00")
    page.locator("dialog .primary").click()
    page.locator("dialog .slots").wait_for()


def _compare(page: Page) -> None:
    page.locator(".panel .compare summary").click()
    page.locator(".compare-pair").scroll_into_view_if_needed()


@dataclass(frozen=True)
class View:
    """A page: its address after the client, what is there once it is drawn, what is done then."""

    path: str
    there: str
    client: str = CLIENT
    then: Callable[[Page], None] | None = None
    # The bar of a server in development, which other pages are shown without.
    bar: bool = False


# In their order: what is live is pictured before it ends.
VIEWS: Final = {
    "flow": View("flow", ".list.flow tbody tr", MAILS),
    "flow-key": View("flow/smtp", "tbody tr", MAILS),
    "run": View("runs/{live}?step={charge}", ".panel"),
    "run-live": View("runs/{live}", ".row"),
    "step": View("runs/{live}?step={ledger}", ".panel .attempts"),
    "compare": View("runs/{live}?step={ledger}", ".panel .compare", then=_compare),
    "run-failed": View("runs/{dead}", ".why"),
    "run-large": View("runs/{wide}", ".row", FEED),
    "runs": View("runs", "tbody tr"),
    "overview": View("overview", ".chart"),
    "problems": View("problems", "tbody tr"),
    "problem": View("problems", "tbody tr", then=_click(".problems .row-link")),
    "redrive": View("problems", "tbody tr", then=_click(".problems .row-acts .button")),
    "waiting": View("waiting", ".event"),
    "start": View("start", ".start"),
    "workflow": View("workflows/checkout", ".chart"),
    "schedules": View("schedules", "tbody tr"),
    "schedule": View("schedules/digest", ".runs tbody tr"),
    "backfill": View("schedules/digest", ".runs tbody tr", then=_backfill),
    "help": View("runs", "tbody tr", then=_help),
    "sign-in": View("", ".sign-in", ""),
    "development": View("runs/{live}", ".development", bar=True),
}

# What pages of docs/ show: the view, and how it is looked at.
PICTURES: Final = {
    "flow": ("flow", Look("light", 1360, 640)),
    "run": ("run", Look("light", 1360, 850)),
    "run-dark": ("run-live", Look("dark", 1360, 560)),
    "run-phone": ("run-live", Look("dark", 390, 844)),
    "runs": ("runs", Look("light", 1360, 850)),
    "runs-phone": ("runs", Look("light", 390, 844)),
    "overview": ("overview", Look("light", 1360, 1010)),
    "problems": ("problems", Look("light", 1360, 620)),
    "waiting": ("waiting", Look("light", 1360, 480)),
    "schedules": ("schedules", Look("light", 1360, 620)),
    "schedule": ("schedule", Look("light", 1360, 1010)),
}


def main(folder: Path, all_of_them: Path | None) -> None:
    """Write the pictures of the documentation into the folder, or every view into the other one."""
    into = all_of_them or folder
    into.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as data, scene(Path(data)) as shop, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        camera = _Camera(browser, shop)
        if all_of_them:
            for name, view in VIEWS.items():
                for named, look in LOOKS.items():
                    (into / f"{name}-{named}.png").write_bytes(camera.take(view, look))
        else:
            for name, (shown, look) in PICTURES.items():
                picture = camera.take(VIEWS[shown], look)
                assert len(picture) <= SIZE_MAX_BYTES, f"{name}: {len(picture)} bytes"
                (into / f"dashboard-{name}.png").write_bytes(picture)
        browser.close()


class _Camera:
    def __init__(self, browser: Browser, shop: Scene) -> None:
        self._browser, self._url = browser, shop.url
        self._ids = {
            "live": shop.live,
            "dead": shop.dead,
            "wide": shop.wide,
            "charge": step_of(shop, shop.live, "chargeCard"),
            "ledger": step_of(shop, shop.live, "writeLedger"),
        }

    def take(self, view: View, look: Look) -> bytes:
        """Take a screenshot of a view, reduced to a palette of colours."""
        page = self._browser.new_page(
            viewport={"width": look.width, "height": look.height},
            color_scheme=look.scheme,
            reduced_motion="reduce",
            forced_colors=look.forced,
        )
        if not view.bar:
            page.route("**/dashboard", _without_bar)
        page.goto(f"{self._url}/dashboard#/{view.client}/{view.path.format(**self._ids)}")
        page.locator(view.there).first.wait_for()
        if view.then:
            view.then(page)
        page.wait_for_timeout(_SETTLE_MS)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        page.close()
        return _reduced(picture)


def _reduced(picture: Image.Image) -> bytes:
    """The picture with its most frequent colours: those of grounds and of texts stay as they are."""
    found = sorted(picture.getcolors(picture.width * picture.height) or [], reverse=True)
    colours: list[Any] = [colour for _, colour in found]
    kept = colours[:COLOURS]
    places = {colour: place for place, colour in enumerate(kept)}
    for colour in colours[COLOURS:]:
        places[colour] = min(range(COLOURS), key=lambda place: math.dist(colour, kept[place]))
    reduced = Image.new("P", picture.size)
    reduced.putpalette([part for colour in kept for part in colour])
    dots: Any = picture.get_flattened_data()
    reduced.putdata([places[dot] for dot in dots])
    small = io.BytesIO()
    reduced.save(small, "PNG", optimize=True)
    return small.getvalue()


def _without_bar(route: Route) -> None:
    """The page as servers that are not in development send it."""
    answer = route.fetch()
    route.fulfill(response=answer, body=answer.text().replace(" data-development", "", 1))


def step_of(shop: Scene, run_id: str, name: str) -> str:
    """The id of a step by its endpoint's name."""
    with urllib.request.urlopen(f"{shop.url}/{CLIENT}/runs/{run_id}") as answer:
        steps = json.load(answer)["steps"]
    found: str = next(step["id"] for step in steps if step["stepInvokeUrl"].endswith(name))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
