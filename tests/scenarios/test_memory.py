"""Every scenario in memory, in virtual time."""

import pytest

from atomic.testing import run
from scenarios.collect import Scenario, name_of, scenarios_for
from scenarios.memory_runtime import locked_runtime, open_runtime


@pytest.mark.parametrize("scenario", scenarios_for(locked=False), ids=name_of)
def test_open(scenario: Scenario) -> None:
    async def main() -> None:
        async with open_runtime() as runtime:
            await scenario(runtime)

    run(main())


@pytest.mark.parametrize("scenario", scenarios_for(locked=True), ids=name_of)
def test_locked(scenario: Scenario) -> None:
    async def main() -> None:
        async with locked_runtime() as runtime:
            await scenario(runtime)

    run(main())
