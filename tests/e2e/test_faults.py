"""Faults on demand over HTTP: `--faults`, `/_dev/faults` and the header of a start."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from examples.outside import Asked, served
from scenarios.embedded_runtime import AtomicServer, create_client, free_port

SECONDS = 20


@pytest.fixture(scope="module")
def shop() -> Iterator["Shop"]:
    port = free_port()
    endpoint = Shop(f"http://127.0.0.1:{port}/charge")
    with served(endpoint, port):
        yield endpoint


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtomicServer]:
    atomic = AtomicServer(
        tmp_path_factory.mktemp("faults") / "data",
        *("--virtual-time", "--faults", "flaky", "--faults-seed", "7"),
    )
    atomic.start()
    yield atomic
    atomic.stop()


class Shop:
    """An endpoint that notes its calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[str] = []

    def __call__(self, asked: Asked) -> tuple[int, Any]:
        self.keys.append(asked.headers["idempotency-key"])
        return 200, {"charged": True}


def ask(server: AtomicServer, method: str, path: str, document: Any = None, **headers: str) -> Any:
    body = None if document is None else json.dumps(document)
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return requests.request(method, server.url + path, data=body, headers=named, timeout=SECONDS)


def charge(server: AtomicServer, shop: Shop, key: str, asked: str) -> list[str]:
    """The outcomes of the attempts of a run, whose start asks for faults."""
    document = {"workflowName": "w", "idempotencyKey": key, "stepInvokeUrl": shop.url}
    posted = ask(server, "POST", "/c", document, Prefer="respond-async", Atomic_Fault=asked)
    assert posted.status_code == 202, posted.text
    run_id = posted.json()["runId"]
    found = ask(server, "POST", "/_dev/time/until", {"runId": run_id})
    assert found.status_code == 200, found.text
    step = ask(server, "GET", f"/c/steps/{posted.json()['id']}").json()
    assert step["status"] == "succeeded"
    return [made["error"] or made["outcome"] for made in step["attemptLog"]]


def test_the_server_tells_its_faults_and_takes_others(server: AtomicServer) -> None:
    told = ask(server, "GET", "/_dev/faults").json()
    assert (told["profile"], told["seed"], set(told["made"].values())) == ("flaky", 7, {0})
    assert '"profile": "flaky"' in server.log()
    told = ask(server, "PUT", "/_dev/faults", {"profile": "hostile", "seed": 8}).json()
    assert (told["profile"], told["seed"]) == ("hostile", 8)
    told = ask(server, "PUT", "/_dev/faults", {"probabilities": {"slow": 0.5}}).json()
    assert (told["profile"], told["seed"]) == (None, 7)
    assert {name: chance for name, chance in told["probabilities"].items() if chance} == {"slow": 0.5}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "give `profile` or `probabilities`, and not both"),
        ({"profile": "calm", "probabilities": {}}, "give `profile` or `probabilities`, and not both"),
        ({"profile": "evil"}, "'calm', 'flaky' or 'hostile'"),
        ({"probabilities": {"lost": 1}}, "'lost-answer', 'double-call', 'late-answer'"),
        ({"probabilities": {"slow": 2}}, "probabilities.slow: Input should be less than or equal to 1"),
        ({"profile": "calm", "seed": -1}, "seed: Input should be greater than or equal to 0"),
    ],
)
def test_what_it_does_not_take_is_named_with_the_cure(
    server: AtomicServer, document: dict[str, Any], says: str
) -> None:
    refused = ask(server, "PUT", "/_dev/faults", document)
    assert refused.status_code == 400
    assert says in refused.json()["detail"]


def test_a_start_asks_for_faults_and_a_crash_keeps_them(server: AtomicServer, shop: Shop) -> None:
    ask(server, "PUT", "/_dev/faults", {"profile": "calm"})
    before = len(shop.keys)
    assert charge(server, shop, "asked", "lost-answer, kill-after-claim") == [
        "no process was left to record the answer",
        "network: the answer was lost (fault: lost-answer)",
        "succeeded",
    ]
    assert shop.keys[before:] == ["asked"] * 2
    assert ask(server, "GET", "/_dev/faults").json()["made"]["lost-answer"] == 1
    assert ask(server, "POST", "/_dev/crash").status_code == 204
    assert charge(server, shop, "after a crash".replace(" ", "-"), "reset")[0].endswith("(fault: reset)")
    assert ask(server, "GET", "/_dev/faults").json()["made"]["reset"] == 1
    assert ask(server, "POST", "/_dev/reset").status_code == 204
    told = ask(server, "GET", "/_dev/faults").json()
    assert (told["profile"], told["seed"], set(told["made"].values())) == ("flaky", 7, {0})


def test_a_start_that_asks_for_an_unknown_fault_starts_nothing(server: AtomicServer, shop: Shop) -> None:
    document = {"workflowName": "w", "idempotencyKey": "unknown", "stepInvokeUrl": shop.url}
    refused = ask(server, "POST", "/c", document, Atomic_Fault="slow, lost")
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("Atomic-Fault: 'lost' is not a fault; use lost-answer, ")
    assert "unknown" not in shop.keys


def test_a_server_that_is_not_for_development_has_none(tmp_path: Path, shop: Shop) -> None:
    data = tmp_path / "data"
    key = create_client(data, "shop", "--base-url", shop.url)
    server = AtomicServer(data, dev=False)
    server.start()
    try:
        authorization = f"Bearer {key}"
        document = {"workflowName": "w", "idempotencyKey": "real", "stepInvokeUrl": shop.url}
        # Any header that a server does not know is ignored.
        posted = ask(
            server, "POST", "/shop", document, Atomic_Fault="reset, lost", Authorization=authorization
        )
        assert (posted.status_code, posted.json()["attempts"]) == (200, 1)
        assert ask(server, "GET", "/_dev/faults", Authorization=authorization).status_code == 404
    finally:
        server.stop()
