"""Every scenario in memory, in virtual time."""

import pytest

from atomic.testing import run
from scenarios.collect import Scenario, name_of, scenarios_for
from scenarios.memory_home import locked_home, open_home


@pytest.mark.parametrize("scenario", scenarios_for(locked=False), ids=name_of)
def test_open(scenario: Scenario) -> None:
    async def main() -> None:
        async with open_home() as home:
            await scenario(home)

    run(main())


@pytest.mark.parametrize("scenario", scenarios_for(locked=True), ids=name_of)
def test_locked(scenario: Scenario) -> None:
    async def main() -> None:
        async with locked_home() as home:
            await scenario(home)

    run(main())
