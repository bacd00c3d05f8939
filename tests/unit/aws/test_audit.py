"""The audit log on AWS: what an act costs."""

from collections.abc import Iterator

import pytest

from atomic.entrypoints.aws.api import ApiFunction
from contract.aws import Recorder, aws
from unit.aws.test_handlers import environment, gateway_event

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
