"""The default wait of a post, for the root of a run and for a handler's posts."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from atomic.application.engine import Settings
from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse, StepError
from atomic.protocol.defaults import ATTEMPT_TIMEOUT_MS, STEP_WAIT_MS
from atomic.protocol.error_kinds import ErrorKind
from atomic.runtime.polling import PollingNotifier
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run


async def never(call: EndpointCall) -> EndpointReply:
    await asyncio.sleep(10**6)
    raise AssertionError


async def waited_s(atomic: LocalAtomic, document: dict[str, Any]) -> float:
    """After how long a post of an unfinished step gets its answer."""
    clock = asyncio.get_running_loop()
    began_s = clock.time()
    reply = await atomic.post("/me", {"workflowName": "w", "idempotencyKey": "k", **document})
    assert reply.status == 504
    return clock.time() - began_s


async def both_waits_s(*, names_parent: bool, settings: Settings, **members: Any) -> tuple[float, float]:
    """The waits of a run's start and of its handler's first post."""
    async with LocalAtomic(settings=settings) as atomic:
        step_url = atomic.endpoint("/step", never)
        told: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def handler(call: EndpointCall) -> EndpointReply:
            parent = {"parent": call.json["stepId"]} if names_parent else {}
            step = {"stepInvokeUrl": step_url, **parent, **members}
            if not told.done():
                told.set_result(await waited_s(atomic, step))
            return await never(call)

        root = {"stepInvokeUrl": atomic.endpoint("/root", handler), **members}
        return await waited_s(atomic, root), await told


@pytest.mark.parametrize(
    ("status", "is_called_again"),
    [
        pytest.param(None, True, id="no answer"),
        pytest.param(502, True, id="an answer of a proxy"),
        # It was told of a step, and raised.
        pytest.param(500, False, id="its own answer"),
    ],
)
def test_a_handler_that_died_does_not_wait_for_ever(status: int | None, is_called_again: bool) -> None:
    """It was told of an event that never ends, and died before it had posted its other steps."""

    async def main() -> int:
        async with LocalAtomic() as atomic:
            calls = 0

            async def handler(call: EndpointCall) -> EndpointReply:
                nonlocal calls
                calls += 1
                if calls > 1:
                    return EndpointReply(json="done")
                await waited_s(
                    atomic,
                    {"kind": "event", "stepName": "never", "parent": call.json["stepId"], "timeout": 1000},
                )
                if status is None:
                    await never(call)
                return EndpointReply(status=status or 0)

            url = atomic.endpoint("/root", handler)
            post = atomic._invoker.post

            async def lossy(request: EndpointRequest) -> EndpointResponse:
                lost = EndpointResponse(error=StepError(ErrorKind.NETWORK, "connection reset by peer"))
                try:
                    async with asyncio.timeout(5):
                        return await post(request)
                except TimeoutError:
                    return lost

            atomic.engine.invoker.post = lossy  # type: ignore[method-assign]
            await waited_s(atomic, {"stepInvokeUrl": url, "timeout": 1000})
            await asyncio.sleep(7 * 24 * 3600)
            return calls

    assert run(main()) == 1 + is_called_again


@pytest.mark.parametrize("names_parent", [True, False], ids=["names its parent", "plain"])
def test_a_handlers_post_is_answered_before_its_own_attempt_ends(names_parent: bool) -> None:
    waits_s = run(both_waits_s(names_parent=names_parent, settings=Settings()))
    assert waits_s == (25, 15)
    assert STEP_WAIT_MS < ATTEMPT_TIMEOUT_MS


@pytest.mark.parametrize("names_parent", [True, False], ids=["names its parent", "plain"])
def test_what_is_asked_for_counts(names_parent: bool) -> None:
    waits_s = run(both_waits_s(names_parent=names_parent, settings=Settings(), timeout=18_000))
    assert waits_s == (18, 18)


def test_no_wait_is_longer_than_the_server_allows() -> None:
    low = Settings(wait_max_ms=10_000)
    assert run(both_waits_s(names_parent=True, settings=low)) == (10, 10)
    assert run(both_waits_s(names_parent=True, settings=low, timeout=18_000)) == (10, 10)


@pytest.mark.parametrize(
    ("attempt_timeout_ms", "wait_ms", "is_inline"),
    [(20_000, None, True), (20_000, 1_000, True), (20_000, 999, False), (20_000, 0, False),
     (20_001, None, False), (20_001, 25_000, False)],
)  # fmt: skip
def test_inline_attempts_are_made_only_for_long_enough_waits(
    attempt_timeout_ms: int, wait_ms: int | None, is_inline: bool
) -> None:
    holds = Settings(inline_attempt_max_ms=20_000)
    assert holds.is_inline(attempt_timeout_ms, wait_ms) is is_inline
    assert Settings().is_inline(attempt_timeout_ms, wait_ms)


@pytest.mark.parametrize(
    ("settings", "is_held"),
    [
        pytest.param(Settings(), True, id="a server answers many callers"),
        pytest.param(Settings(inline_attempt_max_ms=20_000), False, id="an environment answers one"),
    ],
)
def test_a_caller_does_not_occupy_the_process_that_its_run_lacks(settings: Settings, is_held: bool) -> None:
    """The handler's own posts are refused until ten seconds have passed."""

    async def refused(_: EndpointCall) -> EndpointReply:
        if asyncio.get_running_loop().time() < 10:
            return EndpointReply(status=503, headers={"Atomic-Refused": "true"})
        return EndpointReply(json="done")

    async def main() -> tuple[list[int], list[float]]:
        async with LocalAtomic(settings=settings) as atomic:
            polling = PollingNotifier(atomic._tasks.is_busy)
            atomic.engine = replace(atomic.engine, notifier=polling)
            atomic._api = replace(atomic._api, engine=atomic.engine)
            clock = asyncio.get_running_loop()
            start = {
                "workflowName": "w",
                "idempotencyKey": "k",
                "stepInvokeUrl": atomic.endpoint("/root", refused),
                "timeout": 25_000,
                "retry": {"count": 0},
            }
            statuses, held_s = [], []
            while not statuses or statuses[-1] != 200:
                began_s = clock.time()
                reply = await atomic.post("/me", start)
                statuses.append(reply.status)
                held_s.append(clock.time() - began_s)
                await asyncio.sleep(0 if reply.status == 200 else int(reply.headers["retry-after"]))
            return statuses, held_s

    statuses, held_s = run(main())
    if is_held:
        assert statuses == [200]
        assert 10 < held_s[0] < 25
    else:
        assert set(statuses[:-1]) == {504}
        assert max(held_s) < 1
