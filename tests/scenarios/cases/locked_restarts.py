"""What a key needs to start a run again."""

import json

from scenarios.asking import start_as
from scenarios.locked_clients import scoped
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document


async def scenario_another_payload_takes_a_key_that_may_start(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/again", answer_ok)
    first = (await start_as(runtime, "only-act", document(url, key="restart-1", payload=1))).json
    target = f"/only-act/runs/{first['runId']}/restart"
    edited = json.dumps({"payload": 2}).encode()

    unknown = await runtime.request("GET", "/only-act/steps/x", key_of=scoped("only-act"))
    refused = await runtime.request("POST", target, body=edited, key_of=scoped("only-act"))
    again = await runtime.request("POST", target, key_of=scoped("only-act"))
    allowed = await runtime.request(
        "POST", target, body=json.dumps({"payload": 2, "key": "restart-2"}).encode(), key_of="only-act"
    )

    assert (refused.status, refused.body) == (404, unknown.body)
    assert [reply.json["idempotencyKey"] for reply in (again, allowed)] == ["restart-1/2", "restart-2"]


async def scenario_another_url_takes_a_key_that_may_start_and_is_under_a_base_url(runtime: Runtime) -> None:
    url, other = (runtime.endpoint(f"/app/{name}", answer_ok) for name in ("replaced", "repaired"))
    first = (await start_as(runtime, "only-act", document(url, key="moved-1"))).json
    target = f"/only-act/runs/{first['runId']}/restart"

    def body(to: str) -> bytes:
        return json.dumps({"url": to}).encode()

    unknown = await runtime.request("GET", "/only-act/steps/x", key_of=scoped("only-act"))
    refused = await runtime.request("POST", target, body=body(other), key_of=scoped("only-act"))
    outside = await runtime.request(
        "POST", target, body=body(other.replace("/app/", "/elsewhere/")), key_of="only-act"
    )
    again = await runtime.request("POST", target, body=body(other), key_of="only-act")

    assert (refused.status, refused.body) == (404, unknown.body)
    assert_problem(outside, 403, "url-not-allowed")
    assert outside.json["detail"].startswith("url: not under a base URL of this client")
    assert (again.json["idempotencyKey"], again.json["stepInvokeUrl"]) == ("moved-1/2", other)
