"""The scenarios about API keys on the API function, with table and queues by moto."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from atomic.adapters.aws import client_store
from atomic.entrypoints.aws.api import ApiFunction
from atomic.testing import ApiReply
from contract.aws import aws
from contract.roles import within
from scenarios.collect import Scenario, name_of, scenarios_for
from scenarios.embedded_runtime import EndpointServer, free_port
from scenarios.locked_clients import create_locked
from scenarios.runtime import Runtime
from unit.aws.test_handlers import environment, gateway_event

EXCLUDED = dict.fromkeys(
    (
        "attempts_carry_the_standard_webhooks_headers",
        "a_base_url_that_is_taken_away_is_called_no_more",
        "a_clients_hooks_are_told_of_its_runs_alone",
        "a_pause_holds_for_the_workflows_of_its_client_alone",
    ),
    "the invoker makes retries, tells hooks and keeps what is paused, and it does not run here",
)


@dataclass
class Locked:
    api: ApiFunction
    keys: Mapping[str, str]
    port: int


@pytest.fixture(scope="module")
def locked() -> Iterator[Locked]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        # The contract tests the real times; waiting half a minute would add nothing.
        patch.setattr(client_store, "KNOWN_S", 1.0)
        with aws() as account:
            port = free_port()
            keys = create_locked(account.admin(), [f"http://127.0.0.1:{port}/app"])
            api = ApiFunction(environment(account) | {"ATOMIC_WAIT_MAX_MS": "20000"})
            with within("ApiRole", *api.runtime.clients):
                yield Locked(api, keys, port)
            api.runtime.close()


@pytest.mark.parametrize("scenario", scenarios_for(locked=True), ids=name_of)
def test_locked(locked: Locked, scenario: Scenario) -> None:
    if name_of(scenario) in EXCLUDED:
        pytest.skip(EXCLUDED[name_of(scenario)])
    # An environment handles one event after the other.
    turn = asyncio.Lock()

    async def send(
        method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> ApiReply:
        path, _, query = target.partition("?")
        event = gateway_event(method, path, body.decode())
        event |= {"rawQueryString": query, "headers": dict(headers or {})}
        async with turn:
            answer = await asyncio.to_thread(locked.api, event, None)
        lower = {name.lower(): value for name, value in answer["headers"].items()}
        return ApiReply(status=answer["statusCode"], headers=lower, body=answer["body"].encode())

    async def main() -> None:
        async with EndpointServer(locked.port).running() as endpoints:
            await scenario(Runtime(client="alpha", send=send, serve=endpoints.serve, keys=locked.keys))

    asyncio.run(main())
