"""A bulk over several pages, and what becomes of it when something ends it in the middle."""

import asyncio
from typing import Any

from atomic.application.bulk import do_bulk
from atomic.application.cancel import cancel_run
from atomic.application.engine import Engine
from atomic.domain.outcomes import EndpointResponse
from atomic.domain.steps import Step
from atomic.testing import ApiReply, EndpointCall, EndpointReply, LocalAtomic, run

RUNS = 250
FILTER = {"workflowName": "w"}


async def gone(_call: EndpointCall) -> EndpointReply:
    await asyncio.sleep(0.01)
    return EndpointReply(status=410)


async def fail_many(atomic: LocalAtomic) -> list[str]:
    """Runs that have failed; the ids of their roots."""
    url = atomic.endpoint("/gone", gone)
    starts: list[dict[str, Any]] = [
        {"workflowName": "w", "idempotencyKey": f"k-{number}", "stepInvokeUrl": url, "retry": {"count": 0}}
        for number in range(RUNS)
    ]
    return [(await atomic.post("/me", start)).json["id"] for start in starts]


async def begin(atomic: LocalAtomic, do: str = "redrive") -> str:
    begun = await atomic.post("/me/bulk", {"do": do, "filter": FILTER})
    assert begun.status == 202, begun.body
    run_id: str = begun.json["runId"]
    return run_id


async def generations(atomic: LocalAtomic, ids: list[str]) -> list[int]:
    return [(await atomic.get(f"/me/steps/{step_id}")).json["generation"] for step_id in ids]


async def ended(atomic: LocalAtomic, run_id: str) -> ApiReply:
    await atomic.get(f"/me/steps/{run_id}-root?wait=60000")
    return await atomic.get(f"/me/bulk/{run_id}")


def test_a_bulk_goes_through_all_pages() -> None:
    async def body() -> None:
        async with LocalAtomic() as atomic:
            roots = await fail_many(atomic)
            run_id = await begin(atomic)
            found = (await ended(atomic, run_id)).json
            steps = (await atomic.get(f"/me/runs/{run_id}")).json["steps"]

            assert (found["status"], found["runs"], found["done"]) == ("succeeded", RUNS, RUNS)
            assert [step["status"] for step in steps] == ["succeeded"] * 3
            assert await generations(atomic, roots) == [2] * RUNS

    run(body())


def test_a_page_that_was_interrupted_redrives_nothing_twice() -> None:
    interrupted: list[str] = []

    async def own(engine: Engine, step: Step) -> EndpointResponse:
        answer = await do_bulk(engine, step)
        if step.is_root or step.attempt_count > 1:
            return answer
        # The page was done, and nobody was told.
        interrupted.append(step.id)
        return EndpointResponse(status=500)

    async def body() -> None:
        async with LocalAtomic(own=own) as atomic:
            roots = await fail_many(atomic)
            found = (await ended(atomic, await begin(atomic))).json

            assert len(interrupted) == 3
            # What was redriven has failed again since the bulk began, so its page skips it.
            assert (found["status"], found["done"], found["skipped"]) == ("succeeded", 0, RUNS)
            assert await generations(atomic, roots) == [2] * RUNS

    run(body())


def test_a_bulk_that_is_cancelled_ends_after_the_page_it_is_at() -> None:
    pages = 0

    async def own(engine: Engine, step: Step) -> EndpointResponse:
        nonlocal pages
        pages += not step.is_root
        if pages == 2:
            await cancel_run(engine, step.spec.run_id)
        return await do_bulk(engine, step)

    async def body() -> None:
        async with LocalAtomic(own=own) as atomic:
            roots = await fail_many(atomic)
            found = (await ended(atomic, await begin(atomic))).json

            assert (found["status"], found["done"], found["runs"]) == ("cancelled", 100, RUNS)
            assert sorted(await generations(atomic, roots)) == [1] * 150 + [2] * 100

    run(body())


def test_a_bulk_whose_page_failed_is_redriven() -> None:
    is_broken = True

    async def own(engine: Engine, step: Step) -> EndpointResponse:
        if not step.is_root and is_broken:
            return EndpointResponse(status=501, headers={"atomic-no-retry": "true"})
        return await do_bulk(engine, step)

    async def body() -> None:
        nonlocal is_broken
        async with LocalAtomic(own=own) as atomic:
            roots = await fail_many(atomic)
            run_id = await begin(atomic)
            failed = (await ended(atomic, run_id)).json
            is_broken = False
            await atomic.post(f"/me/steps/{run_id}-root/redrive", {})
            found = (await ended(atomic, run_id)).json

            assert (failed["status"], failed["done"], failed["runs"]) == ("failed", 0, None)
            assert (found["status"], found["done"]) == ("succeeded", RUNS)
            assert await generations(atomic, roots) == [2] * RUNS

    run(body())
