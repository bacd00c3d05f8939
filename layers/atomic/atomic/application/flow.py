"""Flow control: lets due attempts in, hands slots on, looks at slots whose lease has ended.

A step takes its slots when it is due, before its row says that its attempt runs, and releases them after
its row says that it has ended. A process may end between the two. Then the slot's lease ends, and the row
tells whether the step still needs it (`domain.slots.keeps_slot`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atomic.application.batches import side_by_side
from atomic.application.engine import Engine
from atomic.application.flow_store import FlowKeys, FlowStore, LeasedSlot
from atomic.application.ports import StoreUnavailable
from atomic.domain.events import InLine, NotAdmitted, Paced
from atomic.domain.flow import FlowEntry
from atomic.domain.flow_table import HANDED_MS, Entering, FlowKey, Handed, KeyState
from atomic.domain.slots import keeps_slot, may_be_called, uses_flow
from atomic.domain.steps import LEASE_MARGIN_MS, Step, lease_end_ms
from atomic.protocol import keys

_BATCH: Final = 500
# Up to so many slots, none is given while the store cannot be asked.
_FEW: Final = 10
_ALL: Final = 1_000_000
_FOREVER_MS: Final = 2**53
# A key that no step has named for so long is forgotten, if nothing is pinned.
_IDLE_MS: Final = 24 * 3600 * 1000


async def held_back(engine: Engine, step: Step) -> InLine | Paced | NotAdmitted | None:
    """Take what the due step needs for its attempt: None with all in hand, otherwise why it has to wait.

    When the store cannot be asked, the attempt is made, unless a key has few slots: few may mean one at a
    time. Then the step is deferred, which costs no retry.
    """
    flow, now_ms = engine.admission.flow, engine.clock.now_ms()
    if flow is None or not uses_flow(step):
        return None
    spec = step.spec
    asked = Entering(
        client_id=spec.client_id,
        step_id=step.id,
        version=step.version,
        created_at_ms=step.created_at_ms,
        entries=spec.flow,
        below=await above(engine, step),
        attempt_ms=spec.attempt_timeout_ms,
        until_ms=lease_end_ms(spec, step.deadline_at_ms, now_ms) + LEASE_MARGIN_MS,
        line=step.line,
        turn=step.turn,
        has_time=step.paced_ms is not None and step.paced_ms <= now_ms,
    )
    try:
        entered = await flow.enter(asked, now_ms)
    except StoreUnavailable:
        if not any(_has_few(entry) for entry in spec.flow):
            return None
        engine.telemetry.deferred(step)
        return NotAdmitted(engine.admission.defer_until_ms(spec, engine.clock.now_ms()))
    await _wake(engine, spec.client_id, entered.handed)
    if entered.key:
        return InLine(entered.key, entered.turn)
    return Paced(entered.at_ms) if entered.at_ms else None


def _has_few(entry: FlowEntry) -> bool:
    return entry.concurrency is not None and (entry.concurrency <= _FEW or entry.scope == "run")


async def release_slots(engine: Engine, step: Step) -> None:
    """Release what the step does not need any more, as its row is, and wake those whose turn it is."""
    flow = engine.admission.flow
    if flow is None or not uses_flow(step):
        return
    failure: StoreUnavailable | None = None
    for entry in step.spec.flow:
        if keeps_slot(step, entry.scope):
            continue
        at, turn = FlowKey(step.spec.client_id, entry.key), step.turn if step.line == entry.key else None
        try:
            handed = await flow.leave(at, step.id, step.version, engine.clock.now_ms(), turn=turn)
            await _wake(engine, at.client_id, handed)
        except StoreUnavailable as error:
            # The next key may be in another partition.
            failure = error
    if failure is not None:
        raise failure


async def release_if_over(engine: Engine, step: Step) -> None:
    """The same for a step whose attempt another process may have under way."""
    if not may_be_called(step, engine.clock.now_ms()):
        await release_slots(engine, step)


async def release_unused(engine: Engine, step_id: str) -> None:
    """The same for a step whose row may have changed."""
    step = await engine.store.get(step_id)
    if step is not None:
        await release_slots(engine, step)


async def look_at_leases(engine: Engine, *, all_of_them: bool = False) -> None:
    """Look at each slot whose lease has ended: extend it, or hand it to the next in line.

    `all_of_them`: whatever the leases say, since the processes that took the slots have ended.
    """
    if (flow := engine.admission.server_flow) is None:
        return
    before_ms, limit = (_FOREVER_MS, _ALL) if all_of_them else (engine.clock.now_ms(), _BATCH)
    for leased in await flow.leased_until(before_ms, limit):
        await look_at_lease(engine, flow, leased)


async def look_at_lease(engine: Engine, flow: FlowStore, leased: LeasedSlot) -> None:
    """The same for one slot."""
    at, now_ms = leased.at, engine.clock.now_ms()
    step = await engine.store.get(leased.step_id)
    scope = next((e.scope for e in step.spec.flow if e.key == at.key), None) if step else None
    if step is None or scope is None:
        await _wake(engine, at.client_id, await flow.leave(at, leased.step_id, _FOREVER_MS, now_ms))
    elif keeps_slot(step, scope):
        until_ms = max(step.due_at_ms or 0, now_ms + HANDED_MS)
        await flow.keep(at, step.id, until_ms + LEASE_MARGIN_MS)
        if step.in_line:
            # Who handed it the slot may have ended before the wake-up was sent.
            await _wake(engine, at.client_id, [Handed(step.id, step.spec.attempt_timeout_ms)])
    else:
        await release_slots(engine, step)


async def look_at_keys(engine: Engine, keys: FlowKeys, client_id: str, after: str) -> str | None:
    """Look at the ended leases of a page of a client's keys. Returns where the next page begins."""
    page = await keys.ended_leases(client_id, after=after, before_ms=engine.clock.now_ms())
    for leased in page.ended:
        await look_at_lease(engine, keys, leased)
    return page.after


async def forget_idle(engine: Engine) -> None:
    """Delete the keys that nothing needs."""
    if (flow := engine.admission.server_flow) is not None:
        while await flow.forget(engine.clock.now_ms() - _IDLE_MS, _BATCH) == _BATCH:
            pass


async def pin(engine: Engine, client_id: str, key: str, changes: Mapping[str, Any]) -> KeyState | None:
    """Change what an operator has pinned; the key as it is then. None where there is no flow control."""
    if (flow := engine.admission.flow) is None:
        return None
    at = FlowKey(client_id, key)
    await _wake(engine, client_id, await flow.pin(at, changes, engine.clock.now_ms()))
    return await flow.state(at)


async def state(engine: Engine, client_id: str, key: str) -> KeyState | None:
    """A key; None when nothing is known of it."""
    flow = engine.admission.flow
    return None if flow is None else await flow.state(FlowKey(client_id, key))


async def states(engine: Engine, client_id: str, *, after: str, limit: int) -> Sequence[KeyState]:
    """A page of a client's keys."""
    flow = engine.admission.flow
    return () if flow is None else await flow.states(client_id, after=after, limit=limit)


@dataclass(frozen=True, slots=True)
class MemberStep:
    """A step under a key. `since_ms`: since when it is in line, or when its attempt began."""

    step: Step
    entry: FlowEntry
    since_ms: int | None


async def members(
    engine: Engine, client_id: str, key: str, limit: int
) -> tuple[list[MemberStep], list[MemberStep]]:
    """At most so many of the steps that have a slot of a key, and of those in its line."""
    flow = engine.admission.flow
    if flow is None:
        return [], []
    found = await flow.members(FlowKey(client_id, key), limit)
    since = {waiting.step_id: waiting.since_ms for waiting in found.waiting}
    running = await _members_of(engine, key, [slot.step_id for slot in found.slots], since)
    return running, await _members_of(engine, key, since, since)


async def _members_of(
    engine: Engine, key: str, ids: Iterable[str], since: Mapping[str, int]
) -> list[MemberStep]:
    rows = await side_by_side(*(engine.store.get(step_id) for step_id in ids))
    members = []
    for step in rows:
        entry = next((each for each in step.spec.flow if each.key == key), None) if step else None
        # A row may be gone, or of a later run of the same key.
        if step is not None and entry is not None:
            began_ms = step.attempt_log[-1].started_at_ms if step.attempt_log else None
            members.append(MemberStep(step, entry, since.get(step.id, began_ms)))
    return members


async def _wake(engine: Engine, client_id: str, handed: Iterable[Handed]) -> None:
    """Tell steps in line that they have a slot. If this fails, the leases of the slots end soon."""
    for step_id, attempt_ms in handed:
        now_ms = engine.clock.now_ms()
        await engine.queue.send(step_id, now_ms, client_id=client_id, attempt_ms=attempt_ms)


async def above(engine: Engine, step: Step) -> tuple[str, ...]:
    """The steps that wait for this one: those above it in its run, and in the runs above that wait for it.

    A slot for a run covers all of them, so no run waits for itself. Most steps are right below the root of
    a run that no other one has started: then nothing is read that the attempt would not read.
    """
    above: list[str] = []
    while True:
        root_id = keys.root_of(step.spec.run_id)
        if not step.is_root:
            parent = step.spec.parent or root_id
            # The caller names the parent, so it may not exist, or may be below this step.
            while parent != root_id and parent not in above:
                above.append(parent)
                row = await engine.store.get(parent)
                parent = root_id if row is None else row.spec.parent or root_id
            above.append(root_id)
        run = await engine.runs.find(engine.store, step.spec.run_id, engine.clock.now_ms())
        if run is None or run.depth == 0:
            return tuple(above)
        root = await engine.store.get(root_id)
        if root is None or root.spec.started_by is None or root.spec.detached:
            return tuple(above)
        link = await engine.store.get(root.spec.started_by)
        if link is None or link.id in above:
            return tuple(above)
        above.append(link.id)
        step = link
