"""`make screenshots`: takes the screenshots of `docs/dashboard.md`, small enough for a repository."""

import io
import json
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from dashboard.scene import CLIENT, MAILS, Scene, scene

COLOURS: Final = 256
SIZE_MAX_BYTES: Final = 150_000
_WIDE: Final = (1360, 850)
_PHONE: Final = (390, 844)
_SETTLE_MS: Final = 700


def main(folder: Path) -> None:
    """Write every picture into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as data, scene(Path(data)) as shop, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        charge = step_of(shop, shop.live, "chargeCard")
        pictures = {
            # First, because its steps end soon.
            "flow": ("flow", ".list.flow tbody tr", "light", (1360, 640)),
            "run": (f"runs/{shop.live}?step={charge}", ".panel", "light", _WIDE),
            "run-dark": (f"runs/{shop.live}", ".row", "dark", (1360, 560)),
            "runs": ("runs", "tbody tr", "light", _WIDE),
            "overview": ("overview", ".chart", "light", (1360, 1010)),
            "problems": ("problems", "tbody tr", "light", (1360, 620)),
            "schedules": ("schedules", "tbody tr", "light", (1360, 620)),
            "schedule": ("schedules/digest", ".runs tbody tr", "light", (1360, 1010)),
            "run-phone": (f"runs/{shop.live}", ".row", "dark", _PHONE),
            "runs-phone": ("runs", "tbody tr", "light", _PHONE),
        }
        for name, (view, there, scheme, size) in pictures.items():
            client = MAILS if name == "flow" else CLIENT
            picture = take(browser, f"{shop.url}/dashboard#/{client}/{view}", there, scheme, size)
            assert len(picture) <= SIZE_MAX_BYTES, f"{name}: {len(picture)} bytes"
            (folder / f"dashboard-{name}.png").write_bytes(picture)
        browser.close()


def take(browser: Browser, address: str, there: str, scheme: Any, size: tuple[int, int]) -> bytes:
    """Take a screenshot of a page, reduced to a palette of colours."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce"
    )
    page.goto(address)
    page.locator(there).first.wait_for()
    page.wait_for_timeout(_SETTLE_MS)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    page.close()
    small = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def step_of(shop: Scene, run_id: str, name: str) -> str:
    """The id of a step by its endpoint's name."""
    with urllib.request.urlopen(f"{shop.url}/{CLIENT}/runs/{run_id}") as answer:
        steps = json.load(answer)["steps"]
    found: str = next(step["id"] for step in steps if step["stepInvokeUrl"].endswith(name))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
