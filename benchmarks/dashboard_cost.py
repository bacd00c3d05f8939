"""What the dashboard's scripts cost: CPU of Chromium's main thread, with many runs in the store.

    PYTHONPATH=tests python benchmarks/dashboard_cost.py [--runs 10000] [--rounds 5]

For each view, the median over fresh pages: milliseconds of script until the view is drawn, and of script
in the ten seconds after that, while it stays open. Needs Chromium (apt-get install chromium).
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from dashboard.seeds import seed_runs, seed_wide_run
from scenarios.embedded_runtime import AtomicServer

DAY_MS = 24 * 3600 * 1000
OPEN_S = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        data_dir, now_ms = Path(folder) / "data", time.time_ns() // 1_000_000
        seed_runs(data_dir, "full", asked.runs, now_ms=now_ms, span_ms=DAY_MS, seed=1)
        wide = seed_wide_run(data_dir, "full", 1000, now_ms=now_ms - 60_000)
        server = AtomicServer(data_dir)
        server.start()
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            for view, there in (
                ("runs", "tbody tr"),
                ("overview", ".chart"),
                ("dead-letters", "tbody tr"),
                (f"runs/{wide}", ".row"),
            ):
                address = f"{server.url}/dashboard#/full/{view}"
                costs = [cost_ms(browser, address, there) for _ in range(asked.rounds)]
                loading, staying = (statistics.median(column) for column in zip(*costs, strict=True))
                print(
                    f"{view[:20]:<20} {loading:6.0f} ms until drawn, {staying:6.0f} ms in {OPEN_S} s more"
                )
        finally:
            browser.close()
            server.stop()


def cost_ms(browser: Browser, address: str, there: str) -> tuple[float, float]:
    """Script until the view is drawn, and while it stays open."""
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def script_ms() -> float:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "ScriptDuration") * 1000

    page.goto(address)
    page.locator(there).first.wait_for()
    loading = script_ms()
    time.sleep(OPEN_S)
    staying = script_ms() - loading
    page.close()
    return loading, staying


if __name__ == "__main__":
    main()
