"""A step that needs a resume, in a run whose root has ended while the run was paused."""

import asyncio
from typing import Any

from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run


def test_a_step_that_needs_a_resume_fails_when_its_run_has_ended() -> None:
    async def body() -> None:
        async with LocalAtomic() as atomic:

            async def fails(_call: EndpointCall) -> EndpointReply:
                return EndpointReply(status=503)

            async def workflow(call: EndpointCall) -> EndpointReply:
                step: dict[str, Any] = {
                    "workflowName": "w",
                    "idempotencyKey": "left",
                    "parent": call.json["stepId"],
                    "stepInvokeUrl": atomic.endpoint("/fails", fails),
                    "retry": {"count": 0, "then": "pause"},
                    "timeout": 0,
                }
                await atomic.post("/me", step)
                # Until the run is paused.
                await asyncio.sleep(1)
                return EndpointReply(status=400, headers={"atomic-no-retry": "true"})

            url = atomic.endpoint("/w", workflow)
            start = {"workflowName": "w", "idempotencyKey": "k", "stepInvokeUrl": url}
            failed = await atomic.post("/me", start)
            run_id = failed.json["runId"]
            [left] = (await atomic.get(f"/me/runs/{run_id}")).json["steps"]
            assert (failed.status, left["status"]) == (424, "retrying")
            # It looks for its run after a minute.
            await asyncio.sleep(61)
            [left] = (await atomic.get(f"/me/runs/{run_id}")).json["steps"]
            assert (left["status"], left["responseStatus"]) == ("failed", 503)

    run(body())
