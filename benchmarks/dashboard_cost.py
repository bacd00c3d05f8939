"""What the dashboard costs with many runs in the store: bytes, time to draw, and script time in Chromium.

    PYTHONPATH=tests python benchmarks/dashboard_cost.py [--runs 10000] [--rounds 5] [--open 10]

Prints the bytes of the page's files, plain and by gzip -9. For each view it prints medians over fresh
pages: the milliseconds from the request until the first row is drawn, the script time until then, and the
script time of the seconds after that, while the page stays open. The run of 1,000 steps is opened as it is,
and once more as a live run (`live`: its responses are changed to say so). Needs Chromium (apt-get install
chromium).
"""

import argparse
import gzip
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Request, Route, sync_playwright

from dashboard.seeds import seed_runs, seed_wide_run
from scenarios.embedded_runtime import AtomicServer

DAY_MS = 24 * 3600 * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--open", type=float, default=10, help="seconds for which each page stays open")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        data_dir, now_ms = Path(folder) / "data", time.time_ns() // 1_000_000
        seed_runs(data_dir, "full", asked.runs, now_ms=now_ms, span_ms=DAY_MS, seed=1)
        wide = seed_wide_run(data_dir, "full", 1000, now_ms=now_ms - 60_000)
        middle = seed_wide_run(data_dir, "middle", 200, now_ms=now_ms - 60_000)
        server = AtomicServer(data_dir)
        server.start()
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            print("{} files, {} bytes, {} by gzip".format(*files_of(browser, server.url)))
            for name, view, there in (
                ("runs", "full/runs", "tbody tr"),
                ("overview", "full/overview", ".chart"),
                ("problems", "full/problems", "tbody tr"),
                ("200 steps", f"middle/runs/{middle}", ".row"),
                ("1,000 steps", f"full/runs/{wide}", ".row"),
                ("1,000, live", f"full/runs/{wide}", ".row"),
            ):
                costs = [
                    cost_ms(browser, f"{server.url}/dashboard#/{view}", there, asked.open, "live" in name)
                    for _ in range(asked.rounds)
                ]
                took, loading, staying = map(statistics.median, zip(*costs, strict=True))
                print(
                    f"{name:<13}{took:6.0f} ms until drawn, "
                    f"{loading:6.0f} ms of script, {staying:6.0f} ms in {asked.open:g} s more"
                )
        finally:
            browser.close()
            server.stop()


def files_of(browser: Browser, url: str) -> tuple[int, int, int]:
    """How many files the page is made of, their bytes, and their bytes by gzip."""
    bodies: list[bytes] = []
    page = browser.new_page()

    def keep(asked: Request) -> None:
        response = asked.response()
        if response is not None:
            bodies.append(response.body())

    page.on("requestfinished", keep)
    page.goto(f"{url}/dashboard#/", wait_until="networkidle")
    page.close()
    return len(bodies), sum(map(len, bodies)), sum(len(gzip.compress(body, 9)) for body in bodies)


def cost_ms(
    browser: Browser, address: str, there: str, open_s: float, live: bool
) -> tuple[float, float, float]:
    """Time until the view is drawn, script until then, and script while it stays open."""
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    if live:
        page.route("**/runs/run_*", answer_as_live)
    devtools = page.context.new_cdp_session(page)
    # The thread's own CPU time, so that other load on the machine is not counted.
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def script_ms() -> float:
        metrics = devtools.send("Performance.getMetrics")["metrics"]
        return 1000 * float(next(each["value"] for each in metrics if each["name"] == "ScriptDuration"))

    # When the first row is in the page, by the page's own clock.
    page.add_init_script(
        """new MutationObserver((_, observer) => {
            if (!document.querySelector(THERE)) return;
            observer.disconnect();
            window.drawn = performance.now();
        }).observe(document, { childList: true, subtree: true });""".replace("THERE", json.dumps(there))
    )
    page.goto(address)
    page.locator(there).first.wait_for()
    took: float = page.evaluate("window.drawn")
    loading = script_ms()
    # Wait through Playwright, because it answers routes while it waits.
    page.wait_for_timeout(open_s * 1000)
    staying = script_ms() - loading
    page.unroute_all(behavior="ignoreErrors")
    page.close()
    return took, loading, staying


def answer_as_live(route: Route) -> None:
    """Change the responses so that a finished run looks like one that waits for ever."""
    # An answer that the page has already comes without a document.
    asked = {name: value for name, value in route.request.headers.items() if name != "if-none-match"}
    answer = route.fetch(headers=asked)
    document = answer.json()
    for step in (document["run"], document["root"]):
        step.update(status="waiting", finishedAt=None)
    route.fulfill(response=answer, json=document)


if __name__ == "__main__":
    main()
