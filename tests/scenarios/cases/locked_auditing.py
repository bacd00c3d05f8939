"""The audit log with API keys: who did what, which refusals are kept, and who may read it."""

import json
from typing import Any

from scenarios.asking import key_id
from scenarios.locked_clients import OPERATOR, scoped
from scenarios.runtime import Runtime
from scenarios.starts import assert_problem

RUN = "run_" + 32 * "e"
# One scenario reads the log of each.
CLIENT, STRANGER = "managed-secrets", "only-signal"


async def log(
    runtime: Runtime, client: str, query: str = "", key_of: str = OPERATOR
) -> list[dict[str, Any]]:
    reply = await runtime.request("GET", f"/{client}/audit{query}", key_of=key_of)
    assert reply.status == 200, reply.body
    acts: list[dict[str, Any]] = reply.json["acts"]
    return acts


async def scenario_the_audit_log_says_who_did_it(runtime: Runtime) -> None:
    ordinary, manager = (key_id(runtime.keys[name]) for name in (CLIENT, scoped(CLIENT)))
    path = f"/{CLIENT}"
    await runtime.request("POST", f"{path}/runs/{RUN}/cancel", key_of=CLIENT)
    made = await runtime.request("POST", f"{path}/keys", body=b'{"scopes":["read"]}', key_of=OPERATOR)
    added = made.json["apiKey"]
    await runtime.request("DELETE", f"{path}/keys/{key_id(added)}", key_of=scoped(CLIENT))
    # This key lacks the scope, so nothing is done. It is kept all the same.
    await runtime.request("POST", f"{path}/keys/{ordinary}/rotate", key_of=CLIENT)

    acts = await log(runtime, CLIENT, "?limit=4")

    assert [(act["action"], act["byKind"], act["status"]) for act in acts] == [
        ("rotateKey", "key", 404),
        ("revokeKey", "key", 200),
        ("addKey", "operator", 201),
        ("cancelRun", "key", 404),
    ]
    assert acts[2]["by"] not in {ordinary, manager, None}
    assert [act["by"] for act in acts[:2] + acts[3:]] == [ordinary, manager, ordinary]
    assert acts[1]["target"] == {"keyId": key_id(added)}
    assert added.rpartition("_")[2] not in json.dumps(acts)
    assert await log(runtime, CLIENT, f"?by={manager}&limit=1") == [acts[1]]
    assert await log(runtime, CLIENT, "?limit=4", key_of=scoped(CLIENT)) == acts


async def scenario_strangers_neither_read_nor_fill_the_audit_log(runtime: Runtime) -> None:
    before = await log(runtime, STRANGER)
    for key_of in ("nobody", "beta"):
        refused = await runtime.request("POST", f"/{STRANGER}/runs/{RUN}/cancel", key_of=key_of)
        assert refused.status == (401 if key_of == "nobody" else 404)

    assert await log(runtime, STRANGER) == before
    for key_of in (STRANGER, scoped(STRANGER), "beta"):
        refused = await runtime.request("GET", f"/{STRANGER}/audit", key_of=key_of)
        assert_problem(refused, 404, "not-found")


async def scenario_a_new_client_is_in_the_log_of_the_operator(runtime: Runtime) -> None:
    wanted = json.dumps({"clientId": "audited", "baseUrls": ["https://app.example/"]}).encode()
    assert (await runtime.request("POST", "/clients", body=wanted, key_of=OPERATOR)).status == 201
    await runtime.request("POST", "/clients", body=wanted, key_of=OPERATOR)

    listed = await runtime.request("GET", "/audit?action=createClient&limit=2", key_of=OPERATOR)

    again, made = listed.json["acts"]
    assert (made["target"], made["status"]) == ({"clientId": "audited"}, 201)
    assert (again["target"], again["status"]) == ({}, 409)
    assert made["byKind"] == again["byKind"] == "operator"
    refused = await runtime.request("GET", "/audit", key_of=scoped(CLIENT))
    assert_problem(refused, 404, "not-found")
