"""Callback URLs where API keys are required: the token is enough, until the operator switches them off."""

import json
from typing import Any

from atomic.testing import ApiReply
from scenarios.cases.callbacks import path_of, send
from scenarios.cases.locked_managing import WITHIN_S
from scenarios.cases.locked_operating import NEW, operate, start_with
from scenarios.locked_clients import scoped
from scenarios.runtime import Runtime
from scenarios.starts import assert_problem


def event(name: str) -> dict[str, Any]:
    """An event of the run `called`."""
    return {
        "kind": "event",
        "workflowName": "called",
        "idempotencyKey": "c",
        "stepName": name,
        "timeout": 1,
    }


async def scenario_a_callback_needs_no_key(runtime: Runtime) -> None:
    opened = await runtime.start(event("one"))
    path = path_of(opened)

    told = await send(runtime, path, b'"paid"')

    assert (told.status, told.json) == (200, {"status": "succeeded"})
    assert (await runtime.start(event("one"))).json["response"] == "paid"


async def scenario_a_key_that_only_reads_finds_no_callback_url(runtime: Runtime) -> None:
    client = "only-read"
    body = json.dumps(event("two")).encode()
    opened = await runtime.request("POST", f"/{client}", body=body, key_of=client)
    run_id = opened.json["runId"]

    seen = [
        await runtime.request("GET", f"/{client}{path}", key_of=scoped(client))
        for path in (f"/steps/{opened.json['id']}", f"/runs/{run_id}/results?parent={run_id}-root")
    ]

    assert [reply.status for reply in seen] == [200, 404]
    assert "callbackUrl" in opened.json
    assert not any(b"callback" in reply.body for reply in seen)


async def scenario_callbacks_can_be_switched_off_for_a_client(runtime: Runtime) -> None:
    made = (await operate(runtime, "POST", "/clients", {**NEW, "clientId": "calling"})).json
    never = (
        await operate(runtime, "POST", "/clients", {**NEW, "clientId": "never", "callbacks": False})
    ).json
    assert (made["callbacks"], never["callbacks"]) == (True, False)

    async def opened(made: dict[str, Any], name: str) -> ApiReply:
        return await start_with(runtime, made["apiKey"], made["clientId"], event(name))

    path = path_of(await opened(made, "three"))
    assert "callbackUrl" not in (await opened(never, "three")).json

    changed = await operate(runtime, "PATCH", "/calling", {"callbacks": False})

    assert (changed.status, changed.json["callbacks"]) == (200, False)

    async def are_off() -> bool:
        return (await runtime.request("GET", path)).status == 404

    await runtime.until(are_off, within_s=WITHIN_S)
    assert_problem(await send(runtime, path, b"1"), 404, "not-found")
    assert "callbackUrl" not in (await opened(made, "four")).json

    await operate(runtime, "PATCH", "/calling", {"callbacks": True})

    async def is_taken() -> bool:
        return (await send(runtime, path, b"1")).status == 200

    await runtime.until(is_taken, within_s=WITHIN_S)
