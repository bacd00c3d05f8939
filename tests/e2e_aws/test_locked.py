"""The scenarios about API keys. Their clients have fixed names, so one process creates them once."""

import asyncio

import pytest

from e2e_aws.aws_runtime import AwsStack, LockedClients
from e2e_aws.excluded import WITHIN_S, chosen
from scenarios.collect import Scenario, scenarios_for


@pytest.fixture(scope="session")
def locked(stack: AwsStack) -> LockedClients:
    return LockedClients(stack)


@pytest.mark.parametrize("scenario", chosen(scenarios_for(locked=True)))
def test_locked(locked: LockedClients, scenario: Scenario) -> None:
    async def main() -> None:
        async with locked.runtime() as runtime, asyncio.timeout(WITHIN_S):
            await scenario(runtime)

    asyncio.run(main())
