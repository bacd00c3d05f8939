"""The audit log of a server without keys: what is in it, and what is not."""

import json
from typing import Any
from urllib.parse import quote

from atomic.testing import EndpointCall, EndpointReply
from scenarios.cases.child_runs import run_id_of
from scenarios.cases.start_times import ASYNC
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document

SECRET = "the secret of a note"


async def log(runtime: Runtime, query: str = "") -> list[dict[str, Any]]:
    """The audit log, newest first."""
    reply = await runtime.get(f"/audit{query}")
    assert reply.status == 200, reply.body
    acts: list[dict[str, Any]] = reply.json["acts"]
    return acts


def told(acts: list[dict[str, Any]]) -> list[tuple[str, dict[str, str], int]]:
    return [(act["action"], act["target"], act["status"]) for act in acts]


async def delayed(runtime: Runtime, key: str) -> str:
    """The id of a root that is not due for an hour."""
    url = runtime.endpoint("/work", answer_ok)
    started = await runtime.start(document(url, key=key, delay=3_600_000), **ASYNC)
    step_id: str = started.json["id"]
    return step_id


async def scenario_what_an_operator_does_is_in_the_audit_log(runtime: Runtime) -> None:
    root_id = await delayed(runtime, "k-1")
    run_id = run_id_of(root_id)
    run, step = {"runId": run_id}, {"stepId": root_id}
    headers = {"User-Agent": "an operator's tool " + 400 * "x", "X-Request-Id": "r-77"}
    await runtime.request(
        "POST",
        f"/{runtime.client}/runs/{run_id}/pause",
        body=json.dumps({"note": SECRET}).encode(),
        headers=headers,
    )
    await runtime.post(f"/runs/{run_id}/resume")
    await runtime.post(f"/steps/{root_id}/due", {"at": "not a time"})
    await runtime.post(f"/runs/{run_id}/cancel")
    refused = await runtime.post(f"/runs/{run_id}/pause")
    assert_problem(refused, 409, "run-ended")

    acts = await log(runtime)

    # Neither starts nor reads are acts.
    assert told(acts) == [
        ("pauseRun", run, 409),
        ("cancelRun", run, 200),
        ("dueStep", step, 400),
        ("resumeRun", run, 200),
        ("pauseRun", run, 200),
    ]
    first = acts[-1]
    assert (first["by"], first["byKind"], first["requestId"]) == (None, "anybody", "r-77")
    assert first["userAgent"] == headers["User-Agent"][:256]
    assert SECRET not in json.dumps(acts)
    assert [act["at"] for act in acts] == sorted((act["at"] for act in acts), reverse=True)


async def scenario_the_audit_log_is_read_in_pages_and_by_filters(runtime: Runtime) -> None:
    root_id = await delayed(runtime, "k-1")
    for _ in range(3):
        await runtime.post(f"/runs/{run_id_of(root_id)}/resume")
    await runtime.post(f"/steps/{root_id}/redrive")
    acts = await log(runtime)

    pages: list[dict[str, Any]] = []
    link = f"/{runtime.client}/audit?limit=1"
    while link:
        page = (await runtime.request("GET", link)).json
        pages += page["acts"]
        link = page["next"]

    assert pages == acts
    assert [act["action"] for act in acts] == ["redriveStep", *3 * ["resumeRun"]]
    assert await log(runtime, "?action=resumeRun") == acts[1:]
    assert await log(runtime, "?action=cancelRun") == []
    assert await log(runtime, "?by=k1") == []
    assert await log(runtime, f"?from={quote(acts[-1]['at'])}") == acts
    assert await log(runtime, f"?before={quote(acts[-1]['at'])}") == []
    for query, field in (
        ("action=resume%20run", "action"),
        ("from=yesterday", "from"),
        ("before=1", "before"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=MS54", "cursor"),
        ("until=x", "until"),
    ):
        refused = await runtime.get(f"/audit?{query}")
        assert_problem(refused, 400, "invalid-request")
        assert refused.json["errors"][0]["field"] == field


async def scenario_a_handler_that_cancels_its_own_step_is_no_operator(runtime: Runtime) -> None:
    url = runtime.endpoint("/slow", answer_ok)

    async def workflow(call: EndpointCall) -> EndpointReply:
        posted = {**document(url, delay=3_600_000), "parent": call.json["stepId"]}
        step_id = (await runtime.start(posted, **ASYNC)).json["id"]
        token = {"Atomic-Attempt-Token": call.headers["atomic-attempt-token"]}
        target = f"/{runtime.client}/steps/{step_id}/cancel"
        cancelled = await runtime.request("POST", target, headers=token)
        await runtime.request("POST", target, headers={"Atomic-Attempt-Token": "v1.1.x"})
        return EndpointReply(json=cancelled.json["status"])

    done = await runtime.finish(document(runtime.endpoint("/root", workflow), key="k-1"))

    assert done.json["response"] == "cancelled"
    # A token that is not valid makes nobody a handler.
    assert [act["action"] for act in await log(runtime)] == ["cancelStep"]
