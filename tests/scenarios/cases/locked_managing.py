"""What a key with the scope `admin` can do to its own client; any other key gets 404."""

import json
from typing import Any

from atomic.protocol import signatures
from atomic.testing import ApiReply
from scenarios.asking import key_id, start_as
from scenarios.locked_clients import LIVE_STEPS, scoped
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document

# Every process sees a change within a minute.
WITHIN_S = 60


async def manage(runtime: Runtime, client: str, method: str, path: str, body: Any = None) -> ApiReply:
    """Send a request with the client's key of the scope `admin`."""
    data = b"" if body is None else json.dumps(body).encode()
    return await runtime.request(method, f"/{client}{path}", body=data, key_of=scoped(client))


async def until_status(runtime: Runtime, client: str, api_key: str, status: int) -> None:
    """Wait until the key can, or can no longer, read the client's statistics."""

    async def seen() -> bool:
        headers = {"Authorization": f"Bearer {api_key}"}
        reply = await runtime.request("GET", f"/{client}/stats", headers=headers, key_of="nobody")
        return reply.status == status

    await runtime.until(seen, within_s=WITHIN_S)


async def scenario_a_key_is_rotated_and_revoked_over_the_api(runtime: Runtime) -> None:
    client, old = "managed-keys", runtime.keys["managed-keys"]
    listed = (await manage(runtime, client, "GET", "/keys")).json["keys"]
    assert [(key["id"], key["scopes"]) for key in listed] == [
        (key_id(old), ["start", "read", "act"]),
        (key_id(runtime.keys[scoped(client)]), ["admin"]),
    ]

    made = await manage(runtime, client, "POST", f"/keys/{key_id(old)}/rotate", {"scopes": ["read"]})

    assert (made.status, made.headers["cache-control"]) == (201, "no-store")
    new = made.json["apiKey"]
    assert (made.json["id"], made.json["scopes"]) == (key_id(new), ["read"])
    assert (made.json["takesOver"], made.json["expiresAt"]) == (key_id(old), None)
    await until_status(runtime, client, new, 200)
    await until_status(runtime, client, old, 200)
    third = await manage(runtime, client, "POST", f"/keys/{key_id(new)}/rotate")
    assert_problem(third, 409, "client-conflict")
    assert key_id(old) in third.json["detail"]

    left = await manage(runtime, client, "DELETE", f"/keys/{key_id(old)}")

    assert [key["id"] for key in left.json["keys"]] == [key_id(runtime.keys[scoped(client)]), key_id(new)]
    assert (await manage(runtime, client, "DELETE", f"/keys/{key_id(old)}")).status == 404
    await until_status(runtime, client, old, 401)
    await until_status(runtime, client, new, 200)
    for hidden in (old, new, runtime.keys[scoped(client)]):
        assert hidden.rpartition("_")[2].encode() not in left.body


async def scenario_a_new_key_may_do_no_more_than_the_one_before(runtime: Runtime) -> None:
    client = "managed-secrets"
    target = f"/keys/{key_id(runtime.keys[client])}/rotate"

    for body, field in (
        ({"scopes": ["read", "admin"]}, "scopes"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"scopes": []}, "scopes"),
        ({"overlap": -1}, "overlap"),
        ({"expiresIn": 0}, "expiresIn"),
        ({"limits": {}}, "limits"),
        ([], "body"),
    ):
        refused = await manage(runtime, client, "POST", target, body)
        assert_problem(refused, 400, "invalid-request")
        assert [error["field"] for error in refused.json["errors"]] == [field], body
    with_body = await manage(runtime, client, "DELETE", target.removesuffix("/rotate"), {"force": True})
    assert_problem(with_body, 400, "invalid-request")
    listed = (await manage(runtime, client, "GET", "/keys")).json["keys"]
    assert len(listed) == 2


async def scenario_a_new_key_ends_with_the_one_before(runtime: Runtime) -> None:
    client = "managed-ends"
    mine = f"/keys/{key_id(runtime.keys[client])}/rotate"
    ending = await manage(runtime, client, "POST", mine, {"expiresIn": 3_600_000, "overlap": 3_600_000})
    assert ending.status == 201
    target = f"/keys/{ending.json['id']}/rotate"
    await manage(runtime, client, "DELETE", mine.removesuffix("/rotate"))

    later = await manage(runtime, client, "POST", target, {"expiresIn": 7_200_000})

    assert later.status == 201
    assert later.json["expiresAt"] == ending.json["expiresAt"]
    await manage(runtime, client, "DELETE", f"/keys/{ending.json['id']}")
    without = await manage(runtime, client, "POST", f"/keys/{later.json['id']}/rotate", {"overlap": 0})
    assert without.json["expiresAt"] == ending.json["expiresAt"]


async def scenario_a_signing_secret_is_rotated_over_the_api(runtime: Runtime) -> None:
    client = "managed-secrets"
    url = runtime.endpoint("/app/rotated", answer_ok)

    made = await manage(runtime, client, "POST", "/secrets", {"overlap": 3_600_000})

    assert (made.status, made.headers["cache-control"]) == (201, "no-store")
    secret = signatures.decode_secret(made.json["signingSecret"])
    assert_problem(await manage(runtime, client, "POST", "/secrets"), 409, "client-conflict")
    listed = await manage(runtime, client, "GET", "/secrets")
    assert [each["expiresAt"] is None for each in listed.json["secrets"]] == [False, True]
    assert made.json["signingSecret"].encode() not in listed.body
    serial = iter(range(10_000))

    async def both_sign() -> bool:
        assert (await start_as(runtime, client, document(url, key=f"rotated-{next(serial)}"))).status == 200
        call = runtime.calls(url)[-1].call
        signed = call.headers["webhook-signature"].split()
        timestamp_s = int(call.headers["webhook-timestamp"])
        expected = signatures.sign([secret], call.headers["webhook-id"], timestamp_s, call.body)
        return len(signed) == 2 and expected in signed

    await runtime.until(both_sign, within_s=WITHIN_S)


async def scenario_limits_are_shown_and_not_for_the_client_to_change(runtime: Runtime) -> None:
    client = "managed-keys"
    seen = await manage(runtime, client, "GET", "")

    assert (seen.status, seen.json["clientId"], seen.json["liveSteps"]) == (200, client, LIVE_STEPS)
    assert seen.json["startsPerSecond"] is None
    nothing = await runtime.get("/nothing")
    more = await manage(runtime, client, "PATCH", "", {"liveSteps": 10**6})
    beside = await manage(runtime, client, "POST", "/keys", {"scopes": ["admin"]})
    for refused in (more, beside):
        assert (refused.status, refused.body) == (404, nothing.body)
    assert (await manage(runtime, client, "GET", "")).body == seen.body


async def scenario_a_key_reads_what_it_may_do(runtime: Runtime) -> None:
    async def rights(client: str, key_of: str) -> Any:
        return (await runtime.request("GET", f"/{client}/key", key_of=key_of)).json

    # A key that may act may also post results.
    ordinary = await rights("alpha", "alpha")
    assert ordinary == {
        "keyId": key_id(runtime.keys["alpha"]),
        "scopes": ["start", "read", "act", "signal"],
    }
    only = await rights("only-read", scoped("only-read"))
    assert only == {"keyId": key_id(runtime.keys[scoped("only-read")]), "scopes": ["read"]}
    refused = await runtime.request("GET", "/alpha/key", key_of="beta")
    assert refused.status == 404
