"""Hooks of a client with base URLs: which may be put, what each client is told, and how it is signed."""

import json

from atomic.protocol import signatures
from scenarios.asking import start_as
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document

# Every process sees a change within a minute.
WITHIN_S = 60


async def scenario_a_hook_outside_the_base_urls_is_refused(runtime: Runtime) -> None:
    wanted = json.dumps({"url": "https://elsewhere.example/", "on": ["run.failed"]}).encode()
    refused = await runtime.request("PUT", "/alpha/hooks/out", body=wanted, key_of="alpha")
    assert_problem(refused, 403, "url-not-allowed")
    assert "url:" in refused.json["detail"]
    listed = await runtime.request("GET", "/alpha/hooks", key_of="alpha")
    assert listed.json == {"hooks": []}


async def scenario_a_hook_of_a_start_outside_the_base_urls_is_refused(runtime: Runtime) -> None:
    works = runtime.endpoint("/app/works", answer_ok)
    wanted = document(works, hooks={"run.failed": "https://elsewhere.example/"})
    refused = await start_as(runtime, "alpha", wanted)
    assert_problem(refused, 403, "url-not-allowed")
    assert "hooks.run.failed:" in refused.json["detail"]
    assert runtime.calls(works) == []


async def scenario_a_clients_hooks_are_told_of_its_runs_alone(runtime: Runtime) -> None:
    works, url = runtime.endpoint("/app/works", answer_ok), runtime.endpoint("/app/told", answer_ok)
    wanted = json.dumps({"url": url, "on": ["run.succeeded"], "workflowName": "hooked"}).encode()
    put = await runtime.request("PUT", "/beta/hooks/mail", body=wanted, key_of="beta")
    assert put.status == 201
    started: list[str] = []

    async def told() -> bool:
        """A run of each client ends. From some run on, the processes know the hook."""
        for client in ("alpha", "beta"):
            key = f"hooked-{len(started)}"
            reply = await start_as(runtime, client, {**document(works, key=key), "workflowName": "hooked"})
            started.append(reply.json["runId"])
        return bool(runtime.calls(url))

    await runtime.until(told, within_s=WITHIN_S)
    call = runtime.calls(url)[0].call
    assert call.json["payload"]["runId"] in started[1::2]
    assert call.headers["webhook-id"] == call.json["stepId"]
    assert call.headers[signatures.WEBHOOK_SIGNATURE].startswith("v1,")
    gone = await runtime.request("DELETE", "/beta/hooks/mail", key_of="beta")
    assert gone.status == 200
