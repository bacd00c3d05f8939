"""What happens around an answer that is posted: who is woken, also when the process ends in between."""

import asyncio
from typing import Any

import pytest

from atomic.application import commit as committing
from atomic.application.answering import post_answer
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Step
from atomic.domain.transitions import Effect
from atomic.protocol.enums import Status
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run

DAY_MS = 24 * 3_600_000


class Ended(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("status", [200, 410])
def test_who_waits_is_woken_though_the_process_ends_with_the_answer(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_effects = committing.run_effects

    async def end(engine: Any, step: Step, effects: tuple[Effect, ...]) -> None:
        if step.is_settled and not step.is_root and not has_ended:
            has_ended.append(True)
            raise Ended
        await run_effects(engine, step, effects)

    has_ended: list[bool] = []
    monkeypatch.setattr(committing, "run_effects", end)

    async def main() -> str:
        async with LocalAtomic() as atomic:
            calls: list[EndpointCall] = []

            async def later(call: EndpointCall) -> EndpointReply:
                calls.append(call)
                return EndpointReply(status=202, headers={"Atomic-Answer-Within": str(30 * DAY_MS)})

            async def root(call: EndpointCall) -> EndpointReply:
                step = {**document(atomic.endpoint("/later", later)), "parent": call.json["stepId"]}
                reply = await atomic.post("/me", {**step, "timeout": 10})
                return EndpointReply(status=200 if reply.status != 504 else 500, json=reply.status)

            asked = document(atomic.endpoint("/root", root))
            assert (await atomic.post("/me", asked)).status == 504
            # By then the wake-up of its first lease has come, and the handler is rechecked once a day.
            await asyncio.sleep(3 * DAY_MS / 1000)
            engine = atomic.engine
            step = await engine.store.get(calls[0].json["stepId"])
            client = await engine.clients.get("me")
            assert step is not None
            assert client is not None
            assert (step.status, len(step.waiters)) == (Status.RUNNING, 1)
            with pytest.raises(Ended):
                await post_answer(engine, client, step, 1, EndpointResponse(status=status))
            reply = await atomic.post("/me", asked)
            return f"{reply.json['status']} {reply.json['response']}"

    told = {200: 200, 410: 424}
    assert run(main()) == f"succeeded {told[status]}"


def document(url: str) -> dict[str, Any]:
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": "k", "retry": {"count": 0}}
