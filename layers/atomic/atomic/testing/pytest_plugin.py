"""Fixtures for pytest: `pytest_plugins = ["atomic.testing.pytest_plugin"]` in the root's `conftest.py`.

It is asked for by name. An entry point would import it, and with it the engine and the SDK, at the start of
every pytest run of an environment that has Atomic.
"""

import asyncio
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from atomic.testing.local import LocalAtomic
    from atomic.testing.server import ServerInTime


@pytest.fixture
def atomic_local(request: pytest.FixtureRequest) -> "Iterator[LocalAtomic]":
    """Atomic in the process of the test, in virtual time: a `LocalAtomic`.

    An `async def` test with this fixture runs on its event loop, without any other plugin. A plain test
    calls `atomic_local.blocking(atomic_local.run("order"))`. `@pytest.mark.parametrize("atomic_local",
    [{"always_replay": True}], indirect=True)` gives it options.
    """
    from atomic.testing.local import LocalAtomic
    from atomic.testing.virtual_time import VirtualTimeLoop

    options: dict[str, Any] = getattr(request, "param", {})

    async def opened() -> LocalAtomic:
        return await LocalAtomic(**options).__aenter__()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        local = runner.run(opened())
        local.attach()
        try:
            yield local
        finally:
            local.detach()
            runner.run(local.__aexit__(None, None, None))


@pytest.fixture
def atomic_server() -> "Iterator[ServerInTime]":
    """A server of its own process in virtual time, on a free port of this machine: a `ServerInTime`.

    It needs `atomic-workflows[server]`. ATOMIC_URL names it while the test runs.
    """
    from atomic.testing.server import server_in_time

    with server_in_time() as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("ATOMIC_URL", server.url)
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that has `atomic_local` on the loop of this fixture."""
    local: Any = pyfuncitem.funcargs.get("atomic_local")
    if local is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    # What pytest itself does with a plain function.
    names = pyfuncitem._fixtureinfo.argnames  # noqa: SLF001 - pytest has no public way to the arguments
    local.blocking(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
