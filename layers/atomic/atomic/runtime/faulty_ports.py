"""The ports of an engine to which faults happen, as networks, stores and crashes make them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final, cast

from atomic.application.child_steps import ChildPage
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.ports import (
    EndpointInvoker,
    EndpointRequest,
    Notifier,
    StepStore,
    StoreUnavailable,
    Subscription,
)
from atomic.domain.events import OwnerLost
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError, classify
from atomic.domain.retry import next_delay_ms
from atomic.domain.steps import Step
from atomic.protocol import headers
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.runtime.faults import Fault, Faults

# In real time, since attempts are made in it.
_SLOW_MAX_S: Final = 1.0
_LATE_MAX_S: Final = 2.0


def with_faults(engine: Engine, faults: Faults) -> Engine:
    """The same engine, with faults around what it calls, stores and waits for."""
    invoker = FaultyInvoker(engine.invoker, faults)
    store = FaultyStore(engine.store, faults)
    faulty = replace(
        engine,
        # The rest of the store is as it was.
        store=cast("StepStore", store),
        invoker=invoker,
        notifier=FaultyNotifier(engine.notifier, faults),
    )
    invoker.engine = faulty
    return faulty


class FaultyStore:
    """A store that tells of new steps, and shows handlers the results of a moment ago."""

    def __init__(self, store: StepStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def create(self, step: Step) -> Step | None:
        """Insert the step, which may be one whose start asks for faults."""
        existing = await self._store.create(step)
        if existing is None:
            self._faults.note_created(step)
        return existing

    async def child_steps(self, parent_id: str, *, after: str, limit: int, max_bytes: int) -> ChildPage:
        """A page of a handler's steps, perhaps without those that were written last."""
        page = await self._store.child_steps(parent_id, after=after, limit=limit, max_bytes=max_bytes)
        if not page.steps or not self._faults.makes_stale(parent_id):
            return page
        last_ms = max(map(_written_at_ms, page.steps))
        return replace(page, steps=[step for step in page.steps if _written_at_ms(step) < last_ms])


def _written_at_ms(step: Step) -> int:
    return step.finished_at_ms or step.created_at_ms


class FaultyNotifier:
    """Ends some waits of handlers for their steps at once."""

    def __init__(self, notifier: Notifier, faults: Faults) -> None:
        self._notifier = notifier
        self._faults = faults
        self.publish = notifier.publish
        self.close = notifier.close

    @contextmanager
    def subscribe(self, step_id: str) -> Iterator[Subscription]:
        """Listen for one step."""
        if self._faults.ends_wait(step_id):
            yield _Ended()
            return
        with self._notifier.subscribe(step_id) as subscription:
            yield subscription


class _Ended:
    """A wait that is over."""

    is_open = False

    async def next(self, timeout_ms: int) -> Step | None:  # noqa: ARG002 - it takes no time
        """Nothing."""
        return None


class FaultyInvoker:
    """Makes attempts, to some of which a fault happens."""

    engine: Engine

    def __init__(self, invoker: EndpointInvoker, faults: Faults) -> None:
        self._invoker = invoker
        self._faults = faults
        # Steps whose answer is held back, until a later attempt has been answered.
        self._held: dict[str, asyncio.Event] = {}

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt."""
        if self._faults.is_idle:
            return await self._invoker.post(request)
        step = await self._under_way(
            request.headers.get("Atomic-Step-Id", ""), request.headers.get("Atomic-Attempt", "")
        )
        if step is None:
            return await self._invoker.post(request)
        return await self._made(step, request, self._faults.of_attempt(step))

    async def _under_way(self, step_id: str, attempt: str) -> Step | None:
        """The row of the attempt; None where there is none, or where it cannot be read."""
        with suppress(StoreUnavailable):
            step = await self.engine.store.get(step_id)
            if step is not None and str(step.attempt_count) == attempt and step.status is Status.RUNNING:
                return step
        return None

    async def _made(
        self, step: Step, request: EndpointRequest, happens: frozenset[Fault]
    ) -> EndpointResponse:
        if "duplicate-wakeup" in happens:
            await self.engine.send_wakeup(step, self.engine.clock.now_ms())
        if "kill-after-claim" in happens:
            await self._lose(step)
            # The end that the process would have: nothing is recorded.
            raise asyncio.CancelledError
        if "503-retry-after" in happens:
            return _refused()
        if "reset" in happens:
            return _broken("the connection was reset", "reset")
        answer = await self._called(step, request, happens)
        # The answer of an earlier attempt is late by now.
        if (held := self._held.pop(step.id, None)) is not None:
            held.set()
        if "lost-answer" in happens:
            return _broken("the answer was lost", "lost-answer")
        if "late-answer" in happens:
            await self._hold_back(step)
            return answer
        return await self._given_back(step, answer)

    async def _called(
        self, step: Step, request: EndpointRequest, happens: frozenset[Fault]
    ) -> EndpointResponse:
        loop = asyncio.get_running_loop()
        if "slow" in happens:
            share = self._faults.fraction("slow", f"{step.id} takes", step.attempt_count)
            await asyncio.sleep(share * min(_SLOW_MAX_S, request.timeout_ms / 4000))
        began_s = loop.time()
        answer = await self._invoker.post(request)
        left_ms = request.timeout_ms - round((loop.time() - began_s) * 1000)
        if "double-call" not in happens or answer.status is None or 2 * left_ms < request.timeout_ms:
            return answer
        return await self._invoker.post(replace(request, timeout_ms=left_ms))

    async def _lose(self, step: Step) -> bool:
        """Let the step be taken over, as after a crash; whether it was still this attempt."""
        _, effects = await commit(self.engine, step, OwnerLost())
        return effects is not None

    async def _hold_back(self, step: Step) -> None:
        """Come too late: another attempt has been answered meanwhile."""
        if not await self._lose(step):
            return
        held = self._held[step.id] = asyncio.Event()
        with suppress(TimeoutError):
            await asyncio.wait_for(held.wait(), _LATE_MAX_S)
        if self._held.get(step.id) is held:
            del self._held[step.id]

    async def _given_back(self, step: Step, answer: EndpointResponse) -> EndpointResponse:
        """The answer. A failure is not counted if it would be the last, and a fault has used a retry."""
        engine, policy = self.engine, step.spec.retry
        outcome = classify(answer, policy, engine.clock.wall_ms())
        is_last = outcome.kind is OutcomeKind.RETRYABLE and step.retries_used >= policy.count
        if not is_last or outcome.error is None:
            return answer
        now = await self._under_way(step.id, str(step.attempt_count))
        if now is None or now.told is not None or not self._faults.gives_back(step):
            return answer
        again_in_ms = next_delay_ms(
            policy,
            max(1, step.retries_used),
            jitter=engine.entropy.fraction(),
            retry_after_ms=outcome.retry_after_ms,
        )
        return EndpointResponse(not_made=NotMade(outcome.error, again_in_ms))


def _broken(what: str, name: Fault) -> EndpointResponse:
    return EndpointResponse(error=StepError(ErrorKind.NETWORK, f"{what} (fault: {name})"))


def _refused() -> EndpointResponse:
    error = StepError(ErrorKind.ENDPOINT_ANSWERED, "503 (fault: 503-retry-after)")
    return EndpointResponse(status=503, headers={headers.RETRY_AFTER: "1"}, error=error)
