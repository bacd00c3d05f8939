"""Every scenario on the deployed stack, except those that cannot hold there."""

import asyncio

import pytest

from e2e_aws.aws_runtime import AwsStack
from e2e_aws.excluded import EXCLUDED, ON_EMULATORS, WITHIN_S, chosen
from scenarios.collect import Scenario, name_of, scenarios_for

OPEN, LOCKED = scenarios_for(locked=False), scenarios_for(locked=True)


@pytest.mark.parametrize("scenario", chosen(OPEN))
def test_open(stack: AwsStack, scenario: Scenario) -> None:
    async def main() -> None:
        async with stack.runtime() as runtime, asyncio.timeout(WITHIN_S):
            await scenario(runtime)

    asyncio.run(main())


def test_what_is_excluded_exists() -> None:
    assert set(EXCLUDED | ON_EMULATORS) <= {name_of(scenario) for scenario in (*OPEN, *LOCKED)}
