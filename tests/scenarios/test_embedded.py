"""Every scenario on a real server over HTTP."""

import asyncio
from collections.abc import Iterator

import pytest

from scenarios.collect import Scenario, name_of, scenarios_for
from scenarios.embedded_runtime import AtomicServer, LockedServer, runtime_on


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedServer]:
    locked = LockedServer(tmp_path_factory.mktemp("locked") / "data")
    locked.server.start()
    yield locked
    assert locked.server.stop() == 0


@pytest.mark.parametrize("scenario", scenarios_for(locked=False), ids=name_of)
def test_open(server: AtomicServer, scenario: Scenario) -> None:
    async def main() -> None:
        async with runtime_on(server) as runtime:
            await scenario(runtime)

    asyncio.run(main())


@pytest.mark.parametrize("scenario", scenarios_for(locked=True), ids=name_of)
def test_locked(locked: LockedServer, scenario: Scenario) -> None:
    async def main() -> None:
        async with locked.runtime() as runtime:
            await scenario(runtime)

    asyncio.run(main())
