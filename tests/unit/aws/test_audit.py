"""The audit log on AWS: what an act costs, and what the gateway tells of its caller."""

from collections.abc import Iterator, Sequence

import pytest

from atomic.application.audit_log import ActQuery
from atomic.domain.acts import Act
from atomic.entrypoints.aws.api import ApiFunction
from contract.aws import Recorder, aws
from unit.aws.test_handlers import environment, gateway_event
from unit.aws.test_iam_callers import SESSION, Stack, stack  # noqa: F401 - a fixture

RUN = "run_" + 32 * "e"
CANCEL = f"/acme/runs/{RUN}/cancel"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ApiFunction, str]]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with aws() as account:
        key, _ = account.admin().create("acme", base_urls=["https://app.example/"])
        function = ApiFunction(environment(account))
        yield function, key
        function.runtime.close()


def ask(api: ApiFunction, key: str, method: str, path: str) -> int:
    event = gateway_event(method, path, "")
    event["headers"]["authorization"] = f"Bearer {key}"
    status: int = api(event, None)["statusCode"]
    return status


def test_an_act_costs_one_write_and_a_read_none(api: tuple[ApiFunction, str]) -> None:
    function, key = api
    ask(function, key, "GET", "/acme/runs")  # caches the key

    with Recorder(*function.runtime.clients) as recorder:
        ask(function, key, "POST", CANCEL)
        [item] = [each["Item"] for name, each in recorder.calls if name == "PutItem"]
        assert recorder.operations == ["GetItem", "PutItem"]
        recorder.calls.clear()
        ask(function, key, "GET", f"/acme/runs/{RUN}")
        assert recorder.operations == ["GetItem"]
        recorder.calls.clear()
        assert ask(function, "atm_x", "POST", CANCEL) == 401
        assert "PutItem" not in recorder.operations

    assert item["pk"] == {"S": "audit#acme"}
    # A write unit is 1 KB.
    assert sum(len(name) + len(next(iter(value.values()))) for name, value in item.items()) < 1_000


def test_a_caller_of_iam_is_named_by_its_session(stack: Stack) -> None:  # noqa: F811
    assert stack.ask("POST", f"/iam{CANCEL}", SESSION, **{"user-agent": "aws-sdk"})[0] == 404
    [act] = stack.api.runtime.run(_acts(stack.api))
    assert (act.by_kind, act.by, act.status, act.user_agent) == ("iam", SESSION, 404, "aws-sdk")
    event = gateway_event("GET", "/", "")
    assert act.source == event["requestContext"]["http"]["sourceIp"]
    assert act.request_id == event["requestContext"]["requestId"]


async def _acts(api: ApiFunction) -> Sequence[Act]:
    return (await api.runtime.store.acts(ActQuery(client_id="acme"))).acts
