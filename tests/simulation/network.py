"""The ports of one process, with faults: slow, refused, applied without an answer, disconnected."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from atomic.adapters.aws import table
from atomic.adapters.memory.wakeups import MemoryWakeupQueue
from atomic.application.child_steps import ChildPage
from atomic.application.destinations import Pacer, Permit, destination_of
from atomic.application.maintenance import RootPage
from atomic.application.ports import Clock, DueStep, EndpointRequest, StoreUnavailable
from atomic.application.server_store import LiveStep
from atomic.domain.blobs import Place
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.domain.outlines import StepOutline
from atomic.domain.schedules import Schedule
from atomic.domain.steps import LEASE_MARGIN_MS, Step, StepSpec
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

if TYPE_CHECKING:
    from simulation.process import Process

T = TypeVar("T")
Moment = Literal["", "before", "applied", "after"]

_NO_ROOM: Final = StepError(ErrorKind.RESOURCES_EXHAUSTED, "no room")
_USUAL_S: Final = 0.02
_SLOW_S: Final = 6.0
_GIVES_UP_S: Final = 1.5


class ProcessStore:
    """The part of `ports.StepStore` that the use cases need, on the rows that all processes share."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._truth = process.world.truth

    async def create(self, step: Step) -> Step | None:
        return await self._write(step, lambda: self._truth.create(step))

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        return await self._write(step, lambda: self._truth.replace(step, expected_version))

    async def get(self, step_id: str) -> Step | None:
        return await self._read(lambda: self._truth.get(step_id))

    async def put_blob(self, step_id: str, digest: str, text: bytes, until_ms: int) -> Place:
        try:
            return await self._written(lambda: self._truth.put_blob(step_id, digest, text, until_ms))
        except StoreUnavailable:
            self._process.note_trouble(step_id)
            raise

    async def get_blob(self, step_id: str, digest: str, place: Place) -> bytes | None:
        return await self._read(lambda: self._truth.get_blob(step_id, digest, place))

    async def outline(self, run_id: str) -> Sequence[StepOutline]:
        return await self._read(lambda: self._truth.outline(run_id))

    async def children(self, parent_id: str, *, after: str, limit: int) -> Sequence[StepOutline]:
        return await self._read(lambda: self._truth.children(parent_id, after=after, limit=limit))

    async def child_steps(self, parent_id: str, *, after: str, limit: int, max_bytes: int) -> ChildPage:
        # Consistent on the embedded runtime; on AWS rows may be shown as they were a moment ago.
        lag_s = self._process.world.lag_s() if self._process.on_aws else 0.0
        return await self._read(
            lambda: self._truth.child_steps_ago(
                lag_s, parent_id, after=after, limit=limit, max_bytes=max_bytes
            )
        )

    async def due(self, before_ms: int, limit: int) -> Sequence[DueStep]:
        return await self._read(lambda: self._truth.due(before_ms, limit))

    async def list_live(self, step: Step) -> None:
        if self._process.on_aws and step.is_root and table.is_begun_inline(step):
            await self._read(lambda: self._truth.get(step.id))
            self._process.world.listed.add(step.id)

    async def with_status(self, status: Status, *, after: str, limit: int) -> Sequence[str]:
        return await self._read(lambda: self._truth.with_status(status, after=after, limit=limit))

    async def live(self, status: Status, *, after: str, limit: int) -> Sequence[LiveStep]:
        return await self._read(lambda: self._truth.live(status, after=after, limit=limit))

    async def purge(self, now_ms: int, limit: int) -> int:
        return 0

    async def get_schedule(self, client_id: str, name: str) -> Schedule | None:
        return await self._read(lambda: self._truth.get_schedule(client_id, name))

    async def list_schedules(self, client_id: str, *, after: str, limit: int) -> Sequence[Schedule]:
        return await self._read(lambda: self._truth.list_schedules(client_id, after=after, limit=limit))

    async def create_schedule(self, schedule: Schedule) -> Schedule | None:
        return await self._written(lambda: self._truth.create_schedule(schedule))

    async def replace_schedule(self, schedule: Schedule, expected_version: int) -> Schedule | None:
        return await self._written(lambda: self._truth.replace_schedule(schedule, expected_version))

    async def delete_schedule(self, client_id: str, name: str) -> bool:
        return await self._written(lambda: self._truth.delete_schedule(client_id, name))

    async def due_schedules(self, client_id: str, before_ms: int) -> Sequence[DueStep]:
        return await self._read(lambda: self._truth.due_schedules(client_id, before_ms))

    async def _write(self, step: Step, write: Callable[[], Awaitable[Step | None]]) -> Step | None:
        try:
            return await self._written(write)
        except StoreUnavailable:
            self._process.note_trouble(step.id)
            raise

    async def _written(self, write: Callable[[], Awaitable[T]]) -> T:
        moment = await self._go()
        existing = await write()
        if self._process.strike("written twice"):
            # The answer was lost, the SDK sent the write again, and the condition failed on its own row.
            existing = await write()
        if moment == "applied":
            self._process.die()
        if self._process.strike("reply lost"):
            await asyncio.sleep(self._process.some_s(_GIVES_UP_S))
            raise StoreUnavailable("the answer was lost")
        await self._back(moment)
        return existing

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        moment = await self._go()
        found = await read()
        await self._back(moment)
        return found

    async def _go(self) -> Moment:
        process = self._process
        moment = process.next_moment()
        if moment == "before":
            process.die()
        delay_s = process.latency_s()
        if delay_s:
            await asyncio.sleep(delay_s)
        if "store" in process.cut_off or process.strike("store refuses"):
            await asyncio.sleep(process.some_s(_GIVES_UP_S))
            raise StoreUnavailable("nothing was done")
        if process.strike("store slow"):
            await asyncio.sleep(process.some_s(_SLOW_S))
        return moment

    async def _back(self, moment: Moment) -> None:
        if moment == "applied":
            self._process.die()
        delay_s = self._process.latency_s()
        if delay_s:
            await asyncio.sleep(delay_s)
        if moment == "after":
            self._process.die()


class SqsWakeups:
    """A queue with at-least-once delivery: messages are delayed, duplicated, reordered and redelivered."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def send(
        self,
        step_id: str,
        at_ms: int,
        *,
        client_id: str,
        attempt_ms: int | None,
        is_watchdog: bool = False,
    ) -> Awaitable[None]:
        process = self._process
        moment = process.next_moment()
        if moment == "before":
            process.die()
        if "queue" in process.cut_off or process.strike("send refused"):
            process.note_trouble(step_id)
            return _refusal()
        wait_s = max(0, at_ms - process.clock.now_ms()) / 1000
        # As the adapter of SQS does it: one that is due already has been looked at.
        process.world.sqs.put(step_id, at_ms, wait_s, is_watchdog=is_watchdog and wait_s > 0)
        if moment == "applied":
            process.die()
        if process.strike("send unsure"):
            process.note_trouble(step_id)
            return _refusal()
        delay_s = process.latency_s()
        if moment == "after":
            process.die_soon(delay_s)
        return _acknowledged(delay_s)

    def dead_letter(self, step_id: str, reason: str) -> Awaitable[None]:
        process = self._process
        moment = process.next_moment()
        if moment == "before":
            process.die()
        if "queue" in process.cut_off or process.strike("send refused"):
            process.note_trouble(step_id)
            return _refusal()
        process.world.observed.letters[step_id] += 1
        if moment == "applied":
            process.die()
        delay_s = process.latency_s()
        if moment == "after":
            process.die_soon(delay_s)
        return _acknowledged(delay_s)


class EmbeddedWakeups(MemoryWakeupQueue):
    """Timers of one process, some of which are lost, early or duplicated."""

    def __init__(self, process: "Process", clock: Clock, horizon_ms: int) -> None:
        super().__init__(clock, horizon_ms=horizon_ms)
        self._process = process

    def send(
        self,
        step_id: str,
        at_ms: int,
        *,
        client_id: str,
        attempt_ms: int | None,
        is_watchdog: bool = False,
    ) -> Awaitable[None]:
        process = self._process
        send = partial(super().send, step_id, client_id=client_id, attempt_ms=attempt_ms)
        moment = process.next_moment()
        if moment in {"before", "applied"}:
            # Nothing survives the process, so both faults are the same.
            process.die()
        if moment == "after":
            process.die_soon(0.0)
        if process.strike("wake-up lost"):
            return _acknowledged(0.0)
        if process.strike("wake-up early"):
            at_ms -= round(process.some_s(60_000))
        if process.strike("wake-up twice"):
            asyncio.get_running_loop().call_later(process.some_s(20), send, at_ms)
        return send(at_ms)


class ProcessRoots:
    """The live roots of all clients, as maintenance on AWS reads them; other steps are in no index.

    A root that begins inline is among them when its row has changed, or a caller was told of it. So is a
    dead letter that owes something to hooks.
    """

    def __init__(self, process: "Process") -> None:
        self._store = ProcessStore(process)
        self._world = process.world

    def parts(self, client_id: str) -> dict[str, Status]:
        del client_id
        return {"roots": Status.PENDING}

    async def page(self, client_id: str, part: str, *, after: str, due_before_ms: int) -> RootPage:
        del client_id, part, after
        due = [step for step in await self._store.due(due_before_ms, 1_000) if self._is_listed(step.id)]
        return RootPage(len(due), due, None)

    def _is_listed(self, step_id: str) -> bool:
        row = self._world.truth.rows.get(step_id)
        if row is None or not row.is_root:
            return row is not None and row.is_dead_letter
        return step_id in self._world.listed or not table.is_begun_inline(row)


class ProcessInvoker:
    """Calls the application. A frozen process gets its answer after the end of the lease."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        process = self._process
        moment = process.next_moment()
        if moment == "before":
            process.die()
        application, observed = process.world.application, process.world.observed
        if process.strike("no room"):
            return EndpointResponse(not_made=NotMade(_NO_ROOM, round(process.some_s(2_000))))
        made = (request.headers["Atomic-Step-Id"], int(request.headers["Atomic-Attempt"]))
        observed.made.add(made)
        if "endpoint" in process.cut_off:
            application.note_failure(request)
            await asyncio.sleep(process.some_s(_GIVES_UP_S))
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, "unreachable"))
        freezes = process.strike("frozen")
        answering = application.call(request)
        if moment == "applied":
            process.die_soon(0.0)
        answer = await answering
        if freezes:
            late_s = (request.timeout_ms + LEASE_MARGIN_MS) / 1000
            await asyncio.sleep(late_s + process.some_s(5))
        elif process.strike("answer lost"):
            application.note_failure(request)
            answer = EndpointResponse(error=StepError(ErrorKind.NETWORK, "reset by peer"))
        if moment == "after":
            process.die()
        observed.received[made] = (asyncio.get_running_loop().time(), process)
        return answer


class Crowds:
    """Destinations that are full at times, and sometimes slow to say so. It has its own random source."""

    def __init__(self, process: "Process", number: int) -> None:
        self._process = process
        self._chance = random.Random(f"places {process.world.scenario.seed} {number}")
        self._full = self._chance.choice((0.1, 0.6))
        self._pacer = Pacer()

    async def enter(self, spec: StepSpec) -> Permit | None:
        """A permit, if one is free, after a while. The permit holds nothing."""
        world, drawn = self._process.world, self._chance.random()
        if asyncio.get_running_loop().time() > world.faults.ends_s:
            return Permit()
        if drawn > 0.95 and not world.faults.calm:
            world.faults.note("store slow")
            await asyncio.sleep(self._chance.random() * _SLOW_S)
        elif delay_s := usual_latency_s(drawn):
            await asyncio.sleep(delay_s)
        if self._chance.random() >= self._full:
            return Permit()
        world.faults.note("no place")
        return None

    def defer_until_ms(self, spec: StepSpec, now_ms: int) -> int:
        """When to come again."""
        return self._pacer.defer_until_ms(destination_of(spec), now_ms)


def usual_latency_s(drawn: float) -> float:
    """Half of all round trips take no time, because races happen then."""
    return 0.0 if drawn < 0.5 else (drawn - 0.5) * 2 * _USUAL_S


def _refusal() -> Awaitable[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(StoreUnavailable("the wake-up was not acknowledged"))
    return future


def _acknowledged(delay_s: float) -> Awaitable[None]:
    if not delay_s:
        return MemoryWakeupQueue._ACKNOWLEDGED
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(delay_s, _resolve, future)
    return future


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
