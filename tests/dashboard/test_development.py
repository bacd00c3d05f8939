"""The bar of a server in development: its clock, *advance to next*, and faults."""

import json
import re
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from dashboard.scene import moment
from dashboard.stage import Api, Endpoints
from scenarios.embedded_runtime import AtomicServer, create_client

DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtomicServer]:
    server = AtomicServer(
        tmp_path_factory.mktemp("virtual") / "data", "--virtual-time=2026-01-01T09:00:00Z"
    )
    server.start()
    yield server
    server.stop()


def told(server: AtomicServer, what: str) -> Any:
    with urllib.request.urlopen(f"{server.url}/_dev/{what}", timeout=10) as answer:
        return json.load(answer)


def test_time_is_advanced_to_what_is_next(virtual: AtomicServer, endpoints: Endpoints, page: Page) -> None:
    api = Api(virtual.url, "shop")
    url = endpoints.serve("/late", (200, {"paid": True}))
    run = api.start(url, "in-three-days", wait=False, delay=3 * DAY_MS)
    page.goto(f"{virtual.url}/dashboard#/shop/runs/{run['runId']}")
    bar = page.get_by_role("region", name="Development")
    expect(bar).to_contain_text("next due in 3 d")
    bar.get_by_role("button", name="Advance to next").click()
    expect(bar).to_contain_text("nothing is due")
    expect(bar.get_by_role("button", name="Advance to next")).to_be_disabled()
    expect(bar.locator("time")).to_have_attribute("datetime", "2026-01-04T09:00:00.000Z")
    expect(page.locator("main")).to_contain_text("succeeded")
    # Times on the page are relative to the server's clock.
    page.goto(f"{virtual.url}/dashboard#/shop/runs")
    expect(page.locator("main")).to_contain_text("Jan 1")
    api.start(url, "at-once")
    page.get_by_role("button", name="1 new run").click()
    expect(page.locator("main")).to_contain_text("just now")
    assert told(virtual, "time")["now"] == "2026-01-04T09:00:00.000Z"


def test_a_pause_ends_by_the_clock_of_the_server(
    virtual: AtomicServer, endpoints: Endpoints, page: Page
) -> None:
    api, retry = Api(virtual.url, "pauses"), {"count": 9, "backOff": 5 * DAY_MS, "jitter": "none"}
    run = api.start(endpoints.serve("/down", (503, 0)), "held", wait=False, retry=retry)
    now = datetime.fromisoformat(told(virtual, "time")["now"])
    until = moment(now + timedelta(days=30))
    api.post(f"/runs/{run['runId']}/pause", {"until": until})
    # The clock of the browser is past that moment already.
    page.clock.set_fixed_time(now + timedelta(days=400))
    page.goto(f"{virtual.url}/dashboard#/pauses/runs/{run['runId']}?step={run['id']}")
    expect(page.locator(".run-title")).to_contain_text("paused since")
    expect(page.get_by_role("complementary")).to_contain_text("Paused")
    expect(page.get_by_role("button", name="Resume run")).to_be_visible()
    api.post(f"/runs/{run['runId']}/cancel")


def test_time_moves_by_itself(virtual: AtomicServer, page: Page) -> None:
    page.goto(f"{virtual.url}/dashboard#/shop/runs")
    box = page.get_by_label("Moves by itself")
    box.check()
    expect(box).to_be_checked()
    page.wait_for_timeout(1_500)
    expect(box).to_be_checked()
    assert told(virtual, "time")["auto"]
    box.uncheck()
    expect(box).not_to_be_checked()


def test_a_choice_stays_while_the_server_makes_it(virtual: AtomicServer, page: Page) -> None:
    """A page that shows the state of before the click would turn the box back for a moment."""
    held: list[Route] = []
    page.route(
        "**/_dev/*",
        lambda route: held.append(route) if route.request.method == "PUT" else route.continue_(),
    )
    page.goto(f"{virtual.url}/dashboard#/shop/runs")
    box, faults = page.get_by_label("Moves by itself"), page.get_by_label("Faults")
    box.check()
    faults.select_option("flaky")
    page.wait_for_timeout(2_500)
    expect(box).to_be_checked()
    expect(faults).to_have_value("flaky")
    assert not told(virtual, "time")["auto"]
    for route in held:
        route.abort()
    expect(page.get_by_role("alert").or_(page.get_by_role("status")).first).to_be_visible()
    expect(box).not_to_be_checked()
    expect(faults).not_to_have_value("flaky")


def test_faults_are_chosen_and_counted(virtual: AtomicServer, endpoints: Endpoints, page: Page) -> None:
    page.goto(f"{virtual.url}/dashboard#/shop/overview")
    bar = page.get_by_role("region", name="Development")
    expect(bar.locator("p").last).to_have_text(re.compile("^0 faults, seed"))
    bar.get_by_label("Faults").select_option("hostile")
    expect(bar.get_by_label("Faults")).to_have_value("hostile")
    assert told(virtual, "faults")["profile"] == "hostile"
    api, url = Api(virtual.url, "shop"), endpoints.serve("/often", (200, {}))
    for number in range(10):
        api.start(url, f"often-{number}", wait=False)
    expect(bar).to_contain_text(re.compile(r"[1-9][0-9]* faults?, seed"))
    bar.get_by_label("Faults").select_option("calm")
    expect(bar.locator("p").last).to_have_text(re.compile("^0 faults, seed"))


def test_a_server_in_real_time_says_so(server: AtomicServer, page: Page) -> None:
    page.goto(f"{server.url}/dashboard")
    bar = page.get_by_role("region", name="Development")
    expect(bar).to_contain_text("Real time")
    expect(bar.get_by_role("button")).to_have_count(0)


def test_a_server_that_is_not_for_development_is_asked_nothing(page: Page, tmp_path: Path) -> None:
    key = create_client(tmp_path / "data", "acme", "--base-url", "http://127.0.0.1:1/")
    server = AtomicServer(tmp_path / "data", dev=False)
    server.start()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(f"{server.url}/dashboard#/acme/runs")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Show runs").click()
        expect(page.locator("main")).to_contain_text("No runs")
        expect(page.get_by_role("region", name="Development")).to_have_count(0)
    finally:
        server.stop()
    assert [url for url in asked if "_dev" in url or "development" in url] == []
    assert any(url.endswith("/joined.js") for url in asked)
