"""Signatures: who may call an endpoint when a secret is set."""

import json
import time

from atomic.protocol.signatures import encode_secret, sign
from sdk.world import World

OLD, NEW, OTHER = b"o" * 24, b"n" * 24, b"x" * 24
BODY = json.dumps(
    {
        "idempotencyKey": "k",
        "payload": "hello",
        "runId": "run_1",
        "stepId": "run_1-root",
        "attempt": 1,
        "workflowName": "w",
    }
).encode()


def signed(*secrets: bytes, age_s: int = 0) -> dict[str, str]:
    timestamp_s = int(time.time()) - age_s
    return {
        "webhook-id": "run_1-root",
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(secrets, "run_1-root", timestamp_s, BODY),
    }


def case_only_signed_calls_are_taken(world: World) -> None:
    world.step("/echo", lambda payload: payload, secrets=[encode_secret(NEW)])
    assert world.post("/echo", BODY, signed(NEW)).json() == "hello"
    assert world.post("/echo", BODY).status_code == 401
    assert world.post("/echo", BODY, signed(OTHER)).status_code == 401
    assert world.post("/echo", BODY + b" ", signed(NEW)).status_code == 401


def case_secrets_rotate_without_a_refused_call(world: World) -> None:
    world.step("/echo", lambda payload: payload, secrets=[encode_secret(OLD), encode_secret(NEW)])
    for secrets in ([OLD], [NEW], [OTHER, NEW]):
        assert world.post("/echo", BODY, signed(*secrets)).status_code == 200


def case_a_call_is_not_taken_twice_after_five_minutes(world: World) -> None:
    world.step("/echo", lambda payload: payload, secrets=[encode_secret(NEW)])
    assert world.post("/echo", BODY, signed(NEW, age_s=290)).status_code == 200
    stale = world.post("/echo", BODY, signed(NEW, age_s=310))
    assert stale.status_code == 401
    assert "five minutes" in stale.json()["detail"]
