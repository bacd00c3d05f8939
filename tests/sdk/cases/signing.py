"""Signatures: who may call an endpoint when a secret is set."""

import json
import time

from atomic.protocol import ed25519
from atomic.protocol.signatures import encode_secret, sign, sign_target
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


def signed(
    *secrets: bytes, age_s: int = 0, url: str = "https://app.example/echo", body: bytes = BODY
) -> dict[str, str]:
    timestamp_s = int(time.time()) - age_s
    signature = sign(secrets, "run_1-root", timestamp_s, body)
    return {
        "webhook-id": "run_1-root",
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signature,
        "atomic-url": url,
        "atomic-signature": sign_target(secrets, url, signature),
    }


def attempt(number: int) -> bytes:
    """The body of another attempt."""
    return BODY.replace(b'"attempt": 1', b'"attempt": %d' % number)


def case_only_signed_calls_are_taken(world: World) -> None:
    world.step("/echo", lambda payload: payload, secrets=[encode_secret(NEW)])
    assert world.post("/echo", BODY, signed(NEW)).json() == "hello"
    assert world.post("/echo", BODY).status_code == 401
    assert world.post("/echo", BODY, signed(OTHER)).status_code == 401
    assert world.post("/echo", BODY + b" ", signed(NEW)).status_code == 401


def case_secrets_rotate_without_a_refused_call(world: World) -> None:
    world.step("/echo", lambda payload: payload, secrets=[encode_secret(OLD), encode_secret(NEW)])
    for number, secrets in enumerate(([OLD], [OLD, NEW], [NEW], [OTHER, NEW])):
        body = attempt(number)
        assert world.post("/echo", body, signed(*secrets, body=body)).status_code == 200


def case_a_call_is_not_taken_twice_after_five_minutes(world: World) -> None:
    world.step("/echo", lambda payload: payload, secrets=[encode_secret(NEW)])
    assert world.post("/echo", BODY, signed(NEW, age_s=290)).status_code == 200
    stale = world.post("/echo", BODY, signed(NEW, age_s=310))
    assert stale.status_code == 401
    assert "five minutes" in stale.json()["detail"]


def case_a_call_is_taken_once(world: World) -> None:
    world.step("/echo", lambda payload: payload, secrets=[encode_secret(NEW)])
    call = signed(NEW)
    assert world.post("/echo", BODY, call).status_code == 200
    again = world.post("/echo", BODY, call)
    assert again.status_code == 401
    assert "accepted before" in again.json()["detail"]
    for spelling in ("+{}", "0{}", "{}.0"):
        respelled = call | {"webhook-timestamp": spelling.format(call["webhook-timestamp"])}
        assert world.post("/echo", BODY, respelled).status_code == 401
    assert world.post("/echo", attempt(2), signed(NEW, body=attempt(2))).status_code == 200


def case_a_call_for_another_url_is_not_taken(world: World) -> None:
    world.step("/echo", lambda payload: payload, secrets=[encode_secret(NEW)])
    call = signed(NEW, url="https://app.example/other")
    assert world.post("/echo", BODY, call).status_code == 401
    assert world.post("/echo", BODY, call | {"atomic-url": "https://app.example/echo"}).status_code == 401
    plain = {name: value for name, value in signed(NEW).items() if not name.startswith("atomic-")}
    assert world.post("/echo", BODY, plain).status_code == 401
    assert (
        world.post("/echo", BODY, signed(NEW, url="https://proxy.example/v1/echo?x=1")).status_code == 200
    )


def case_public_keys_are_enough(world: World) -> None:
    keys = [ed25519.encode_public_key(ed25519.public_key(secret)) for secret in (OLD, NEW)]
    world.step("/echo", lambda payload: payload, secrets=keys)
    for number, secret in enumerate((OLD, NEW, OTHER)):
        body = attempt(number)
        call = signed(secret, body=body)
        assert world.post("/echo", body, call).status_code == 401
        timestamp_s, url = int(call["webhook-timestamp"]), call["atomic-url"]
        call["webhook-signature"] = sign([secret], "run_1-root", timestamp_s, body, ed25519_too=True)
        bound = sign_target([secret], url, call["webhook-signature"], ed25519_too=True)
        answer = world.post("/echo", body, call | {"atomic-signature": bound})
        assert answer.status_code == (401 if secret is OTHER else 200)
