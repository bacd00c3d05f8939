"""Fixtures: a browser, a server, a fresh client, and a page that fails its test when a script fails."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from chromium import WITHIN_MS, chromium
from dashboard.stage import Api, Endpoints
from scenarios.embedded_runtime import AtomicServer

_FOLDER = Path(__file__).parent
_serial = itertools.count(1)
_opened = ExitStack()
_browsers: list[Browser] = []


@pytest.fixture
def browser() -> Browser:
    """One for all tests of this folder, each of which has a context of its own."""
    if not (_browsers and _browsers[-1].is_connected()):
        _browsers.append(_opened.enter_context(chromium()))
    return _browsers[-1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """Close the browser when this process leaves the folder.

    Playwright keeps an event loop running in this thread, and other tests need loops of their own.
    """
    yield
    if nextitem is None or _FOLDER not in nextitem.path.parents:
        _browsers.clear()
        _opened.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtomicServer]:
    server = AtomicServer(tmp_path_factory.mktemp("dashboard") / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    endpoints = Endpoints()
    yield endpoints
    endpoints.close()


@pytest.fixture
def api(server: AtomicServer) -> Api:
    return Api(server.url, f"client{next(_serial)}")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    yield from watched_page(browser)


def watched_page(browser: Browser, timezone_id: str | None = None) -> Iterator[Page]:
    """A page in a context of its own. An error or warning of its scripts fails the test."""
    size: ViewportSize = {"width": 1280, "height": 800}
    context = browser.new_context(viewport=size, reduced_motion="reduce", timezone_id=timezone_id)
    context.set_default_timeout(WITHIN_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"{error}\n{error.stack}"))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    # Chromium also reports refused requests here; a test that provokes one has to expect it.
    assert [text for text in complaints if "Failed to load resource" not in text] == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "application"
