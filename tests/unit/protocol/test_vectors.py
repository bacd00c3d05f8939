"""The vectors in `tests/vectors`, which the TypeScript package runs as well (`typescript/test`)."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from atomic.protocol import keys
from atomic.protocol.ed25519 import decode_public_key, encode_public_key, public_key
from atomic.protocol.signatures import decode_secret, verify, verify_target
from atomic.protocol.strict_json import JsonRefused, canonical_json, fingerprint, parse_json
from atomic.sdk._calls.identity import Position, step_key

VECTORS: Final = Path(__file__).parents[2] / "vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


CANONICAL: Final = vectors("canonical-json")
IDENTITIES: Final = vectors("identities")
SIGNATURES: Final = vectors("signatures")
PATHS: Final = ("/echo", "/users/créer", "/orders/place")


@pytest.mark.parametrize("row", CANONICAL["values"], ids=lambda row: row["json"][:40])
def test_canonical_json(row: dict[str, str]) -> None:
    canonical = canonical_json(parse_json(row["json"]))
    assert canonical.decode() == row["canonical"]
    assert fingerprint(canonical) == row["fingerprint"]


@pytest.mark.parametrize("text", CANONICAL["malformed"])
def test_malformed_json(text: str) -> None:
    with pytest.raises(JsonRefused):
        parse_json(text)


@pytest.mark.parametrize("run", IDENTITIES["runs"], ids=lambda run: run["runId"])
def test_ids_of_runs_and_steps(run: dict[str, Any]) -> None:
    client, workflow = run["clientId"], run["workflowName"]
    assert keys.run_id(client, workflow, run["idempotencyKey"]) == run["runId"]
    for step in run["steps"]:
        names = (step["parent"], step["called"], step["stepName"], step["idempotencyKey"])
        identity = keys.identity(client, workflow, *names)
        assert keys.step_id(run["runId"], identity) == step["id"]


@pytest.mark.parametrize("call", IDENTITIES["positions"], ids=lambda call: call["stepKey"])
def test_keys_of_steps(call: dict[str, Any]) -> None:
    position = Position(tuple(call["path"]), call["key"], call["number"])
    assert step_key(call["runKey"], position) == call["stepKey"]


@pytest.mark.parametrize("number", range(len(PATHS)))
def test_signatures(number: int) -> None:
    secrets = [decode_secret(text) for text in SIGNATURES["secrets"]]
    assert [encode_public_key(public_key(secret)) for secret in secrets] == SIGNATURES["publicKeys"]
    call = SIGNATURES["calls"][number]
    headers, body = call["headers"], call["body"].encode()
    verify(secrets[:1], headers, body, now_s=int(headers["webhook-timestamp"]))
    verify_target(secrets[:1], headers, PATHS[number])
    if number == 1:
        known = [decode_public_key(text) for text in SIGNATURES["publicKeys"]]
        for key in known:
            verify([], headers, body, now_s=int(headers["webhook-timestamp"]), public_keys=[key])
