"""Every test here runs on both event loops: asyncio's (used on Lambda) and uvloop (used embedded)."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import uvloop

from unit.http.raw_server import run_on

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end, and assert that no socket, transport or task is left."""
    return partial(run_on, request.param)
