"""What happens around an answer that is posted: who is woken, also when the process ends in between."""

import asyncio
import json
from typing import Any

import pytest

from atomic.application import commit as committing
from atomic.application.answering import post_answer
from atomic.application.cancel import cancel_step
from atomic.application.results import post_result
from atomic.domain.event_steps import rejection
from atomic.domain.outcomes import EndpointResponse, StoredBody
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


@pytest.mark.parametrize("end", ["reject", "cancel"])
def test_who_waits_for_all_is_told_though_the_process_ends_with_the_step(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No waiter and no watch is on the step, so only its failure tells the handler."""
    run_effects = committing.run_effects

    async def die(engine: Any, step: Step, effects: tuple[Effect, ...]) -> None:
        if step.is_settled and not step.is_root and not has_ended:
            has_ended.append(True)
            raise Ended
        await run_effects(engine, step, effects)

    has_ended: list[bool] = []
    ids: list[str] = []

    async def main() -> str:
        async with LocalAtomic() as atomic:
            engine = atomic.engine

            async def root(call: EndpointCall) -> EndpointReply:
                if call.attempt > 1:
                    return EndpointReply(json="told")
                for name in ("one", "two"):
                    event = {"workflowName": "w", "kind": "event", "stepName": name, "idempotencyKey": name}
                    reply = await atomic.request(
                        "POST",
                        "/me",
                        body=json.dumps({**event, "parent": call.json["stepId"]}).encode(),
                        headers={"Prefer": "respond-async"},
                    )
                    ids.append(reply.json["id"])
                waits = {"Atomic-Waiting-For": ", ".join(ids), "Atomic-Wake": "all"}
                return EndpointReply(status=202, headers=waits)

            asked = document(atomic.endpoint("/root", root))
            assert (await atomic.post("/me", {**asked, "timeout": 1000})).status == 504
            rows = [await engine.store.get(step_id) for step_id in ids]
            [step] = [row for row in rows if row is not None and not row.watches and not row.waiters]
            monkeypatch.setattr(committing, "run_effects", die)
            posted = rejection(StoredBody(b'{"detail":"no"}', "json"), "no")
            is_cancel = end == "cancel"
            ending = cancel_step(engine, step) if is_cancel else post_result(engine, step, posted)
            with pytest.raises(Ended):
                await ending
            reply = await atomic.post("/me", {**asked, "timeout": 60_000})
            return str(reply.json.get("response"))

    assert run(main()) == "told"
