"""Workflows whose runs are kept for fewer days than the server keeps others."""

from datetime import timedelta
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.answers import moment
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document


async def keep(runtime: Runtime, name: str, days: Any) -> ApiReply:
    return await runtime.request("PUT", f"/{runtime.client}/workflows/{name}/retention", body=days_of(days))


def days_of(days: Any) -> bytes:
    return f'{{"days": {days}}}'.encode()


async def clear(runtime: Runtime, name: str) -> ApiReply:
    return await runtime.request("DELETE", f"/{runtime.client}/workflows/{name}/retention")


async def listed(runtime: Runtime) -> dict[str, int]:
    found = (await runtime.get("/workflow-retentions")).json["workflows"]
    return {each["workflowName"]: each["retentionDays"] for each in found}


def kept_for(reply: ApiReply) -> timedelta:
    """For how long after its end the step of an answer is kept."""
    assert reply.status == 200, reply
    kept: timedelta = moment(reply.headers["idempotency-expires"]) - moment(reply.json["finishedAt"])
    return kept


async def scenario_runs_of_a_workflow_are_kept_for_fewer_days(runtime: Runtime) -> None:
    posted: list[ApiReply] = []
    step = runtime.endpoint("/step", answer_ok)

    async def workflow(call: EndpointCall) -> EndpointReply:
        # A step may have another name than its run.
        for name in ("beats", "lasts"):
            body = document(step, key=f"k-{name}", parent=call.json["stepId"])
            posted.append(await runtime.start({**body, "workflowName": name}))
        return EndpointReply(json="done")

    url = runtime.endpoint("/root", workflow)
    before = await runtime.start({**document(url, key="before"), "workflowName": "beats"})
    servers = kept_for(before)
    assert servers > timedelta(days=1)
    kept = await keep(runtime, "beats", 1)
    assert (kept.status, kept.json["retentionDays"], kept.json["paused"]) == (200, 1, None)
    posted.clear()
    after = await runtime.start({**document(url, key="after"), "workflowName": "beats"})
    assert {kept_for(reply) for reply in (after, *posted)} == {timedelta(days=1)}
    other = await runtime.start({**document(step, key="other"), "workflowName": "lasts"})
    assert kept_for(other) == servers
    # A run that has ended keeps what its callers were told.
    again = await runtime.start({**document(url, key="before"), "workflowName": "beats"})
    assert kept_for(again) == servers

    assert (await clear(runtime, "beats")).json["retentionDays"] == servers.days
    last = await runtime.start({**document(url, key="last"), "workflowName": "beats"})
    assert kept_for(last) == servers


async def scenario_a_run_keeps_the_retention_that_it_began_with(runtime: Runtime) -> None:
    posted: list[ApiReply] = []
    step = runtime.endpoint("/step", answer_ok)

    async def workflow(call: EndpointCall) -> EndpointReply:
        await clear(runtime, "begun")
        body = document(step, key="k", parent=call.json["stepId"])
        posted.append(await runtime.start({**body, "workflowName": "begun"}))
        return EndpointReply(json="done")

    url = runtime.endpoint("/root", workflow)
    await keep(runtime, "begun", 2)
    root = await runtime.start({**document(url, key="k"), "workflowName": "begun"})
    assert {kept_for(reply) for reply in (root, *posted)} == {timedelta(days=2)}


async def scenario_retentions_are_read_and_listed_by_name(runtime: Runtime) -> None:
    servers = (await runtime.get("/workflows/b")).json["retentionDays"]
    assert await listed(runtime) == {}
    for name, days in (("b", 3), ("a", 2), ("b", 1)):
        assert (await keep(runtime, name, days)).json["retentionDays"] == days
    assert await listed(runtime) == {"a": 2, "b": 1}
    assert (await runtime.get("/workflows/a")).json["retentionDays"] == 2
    # As many as the server's: an own one, too.
    assert (await keep(runtime, "b", servers)).status == 200
    for name in ("a", "b", "never"):
        assert (await clear(runtime, name)).json["retentionDays"] == servers
    assert await listed(runtime) == {}


async def scenario_a_bad_retention_is_told_field_and_cure(runtime: Runtime) -> None:
    servers = (await runtime.get("/workflows/bad")).json["retentionDays"]
    for name, days, says in (
        ("bad", servers + 1, f"days: use at most {servers}, for which the server keeps every run"),
        ("bad", 0, "days: "),
        ("bad", 1.5, "days: "),
        ("bad", '"1"', "days: "),
        ("b" * 256, 1, "workflowName: "),
    ):
        refused = await keep(runtime, name, days)
        assert_problem(refused, 400, "invalid-request")
        assert refused.json["detail"].startswith(says)
    assert await listed(runtime) == {}


async def scenario_fifty_workflows_have_retentions_at_most(runtime: Runtime) -> None:
    for number in range(50):
        assert (await keep(runtime, f"many-{number:02}", 1)).status == 200
    assert_problem(await keep(runtime, "one-more", 1), 409, "too-many-retentions")
    assert (await keep(runtime, "many-07", 2)).json["retentionDays"] == 2
    for name in await listed(runtime):
        await clear(runtime, name)
    assert (await keep(runtime, "one-more", 1)).status == 200
    await clear(runtime, "one-more")
