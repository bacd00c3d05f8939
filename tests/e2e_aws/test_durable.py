"""A sample of the cases of durable execution on the deployed stack, in `def` and in `async def`."""

from functools import partial
from uuid import uuid4

import pytest

from e2e_aws.aws_runtime import AwsStack
from sdk.cases import batches
from sdk.durable import conditions, maps, parallel, steps
from sdk.matrix import Case
from sdk.test_starlette import decorated
from sdk.world import World

# Cold starts, and delays of whole seconds.
WITHIN_S = 120
# Steps and values, replays, waits of the handler, conditions, parallel, map, race.
CASES = [
    steps.case_results_of_steps_and_values,
    steps.case_a_replay_skips_what_is_done,
    conditions.case_conditions_that_are_not_met_fail,
    parallel.case_branches_have_results_in_their_order,
    maps.case_a_map_ends_by_its_policy,
    batches.case_a_race_has_one_winner,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("case_"))
def test_durable(stack: AwsStack, case: Case) -> None:
    served = stack.endpoints()
    client_id = f"t{uuid4().hex[:12]}"
    api_key = stack.create_client(client_id, (f"{served.url}/",))
    serve = partial(decorated, port=served.port)
    world = World(stack.api, serve, client_id=client_id, api_key=api_key, wait=WITHIN_S)
    try:
        case(world)
    finally:
        world.close()
