"""Chromium without a window, for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

_PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WITHIN_MS = 15_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none."""
    if _PATH is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    expect.set_options(timeout=WITHIN_MS)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--js-flags=--expose-gc", "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(executable_path=_PATH, args=arguments)
        yield browser
        browser.close()
