"""Pauses of workflows where clients have API keys: whose runs are kept, and from when on."""

from typing import Any

from scenarios.asking import start_as
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import document

# Every process sees a change within a minute.
WITHIN_S = 60
SLOW_S = 120


async def last(runtime: Runtime, started: list[str]) -> Any:
    """The run of beta that was started last; before the first one, as if one had succeeded."""
    if not started:
        return {"status": "succeeded", "attempts": 1}
    return (await runtime.request("GET", f"/beta/steps/{started[-1]}", key_of="beta")).json


async def scenario_a_pause_holds_for_the_workflows_of_its_client_alone(runtime: Runtime) -> None:
    url = runtime.endpoint("/app/held", answer_ok)
    paused = await runtime.request("POST", "/beta/workflows/held/pause", key_of="beta")
    assert paused.status == 200
    started: list[str] = []

    async def is_kept() -> bool:
        """The runs that begin before each process knows the pause are called."""
        step = await last(runtime, started)
        if step["status"] == "succeeded":
            body = {**document(url, key=f"held-{len(started)}"), "workflowName": "held"}
            started.append((await start_as(runtime, "beta", body, "respond-async")).json["id"])
        return step["attempts"] == 0 and step["dueAt"] is not None and step["dueAt"] > step["createdAt"]

    await runtime.until(is_kept, within_s=WITHIN_S)
    others = await start_as(runtime, "alpha", {**document(url, key="held"), "workflowName": "held"})
    assert others.status == 200
    listed = await runtime.request("GET", "/alpha/paused-workflows", key_of="alpha")
    assert listed.json == {"workflows": []}

    resumed = await runtime.request("POST", "/beta/workflows/held/resume", key_of="beta")
    assert resumed.json["paused"] is None

    async def has_ended() -> bool:
        step = await last(runtime, started)
        return step["status"] == "succeeded" and step["attempts"] == 1

    await runtime.until(has_ended, within_s=SLOW_S)
