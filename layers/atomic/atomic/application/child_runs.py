"""Child runs: what a link does when it is posted, and each time that it is due.

The link is written first, then the root of its run. Each effect may be repeated: the root is created by a
conditional write, and names the link that created it.
"""

from collections.abc import Set
from dataclasses import replace
from typing import Final

from atomic.application.admission import Refused
from atomic.application.cancel import end_called_off
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.leftovers import end_if_left_over
from atomic.application.links import follow
from atomic.application.refusals import (
    AttemptOver,
    Busy,
    NotFound,
    PayloadMismatch,
    RunCancelled,
    RunExists,
)
from atomic.application.sharing import place
from atomic.application.singletons import keep
from atomic.application.start import Created, StartResult, start_root
from atomic.application.wakeups import wake_if_overdue
from atomic.domain.events import LinkDue, LinkEnded, LinkMoved
from atomic.domain.links import (
    failed_by,
    is_called_off,
    is_same_run,
    recheck_at_ms,
    root_of,
    root_spec,
    run_exists,
)
from atomic.domain.outcomes import StepError
from atomic.domain.pointers import is_line
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind

# A start that was refused is tried again after this time at least, and at most.
_PAUSE_MIN_MS: Final = 1_000
_PAUSE_MAX_MS: Final = 60_000


async def recheck_link(engine: Engine, link: Step) -> Step:
    """Do what a due link needs: start its run, cancel it, or look whether it has ended."""
    if link.is_settled:
        return link
    if is_called_off(link):
        return await end_called_off(engine, link)
    root = await engine.store.get(root_of(link))
    if link.continued_as is None and (root is None or link.id not in root.waiters):
        link = await begin_run(engine, link)
    elif root is None:
        gone = failed_by(link, ErrorKind.CHILD_GONE, keys.run_of(root_of(link)))
        return await _end(engine, link, gone)
    else:
        link = await follow(engine, commit, link, root)
        await wake_if_overdue(engine, root)
    now_ms = engine.clock.now_ms()
    if link.due_at_ms is not None and link.due_at_ms <= now_ms and not is_called_off(link):
        link, _ = await commit(engine, link, LinkDue(recheck_at_ms(link, now_ms)))
    return await end_if_left_over(engine, link)


async def begin_run(engine: Engine, link: Step) -> Step:
    """Start the run of a link, or attach to it; the link as it then stands."""
    now_ms = engine.clock.now_ms()
    wanted = root_spec(link, now_ms)
    client = await engine.clients.get(wanted.client_id)
    if client is None:
        return await _end(engine, link, failed_by(link, ErrorKind.CLIENT_MAY_NOT_CALL))
    wanted = replace(wanted, retention_ms=engine.kept_ms(client, wanted.workflow_name))
    reserved = await engine.admission.reserve(engine.store, client, wanted, now_ms)
    if isinstance(reserved, Refused):
        return await _defer(engine, link, reserved)
    async with reserved as reservation:
        try:
            found = await place(engine, wanted)
        except Busy as busy:
            return await _end(engine, link, failed_by(link, ErrorKind.CHILD_BUSY, busy.holder.spec.run_id))
        if isinstance(found, Step):
            return await _attached(engine, link, found)
        inserted = await start_root(engine, found.spec, found.first)
        if isinstance(inserted, Created):
            reservation.keep()
    root = inserted.step
    if not is_same_run(root, wanted):
        return await _end(engine, link, failed_by(link, ErrorKind.CHILD_DIFFERS, root.spec.run_id))
    if link.spec.detached:
        return await _end(engine, link, run_exists(link))
    return link if isinstance(inserted, Created) else await follow(engine, commit, link, root)


async def _attached(engine: Engine, link: Step, holder: Step) -> Step:
    """Let the link wait for the run that has the key, as if its own one had been continued as that."""
    link, _ = await commit(engine, link, LinkMoved(link.generation, root_of(link), holder.id))
    if link.spec.detached:
        return await _end(engine, link, run_exists(link))
    return await follow(engine, commit, link, holder)


async def continue_run(engine: Engine, spec: StepSpec, attempt: int, inherited: Set[str]) -> StartResult:
    """Create the root that goes on for `spec.continued_from`, whose attempt `attempt` posts it, or find it.

    `inherited` are the members of its `StepSpec` that are those of the root before.
    The links that wait for one root wait for the other one, as soon as the first has ended so.
    Raises NotFound, RunCancelled, AttemptOver when the root before has ended, PayloadMismatch when the new
    root exists with another payload, and RunExists when it does not go on for the root before.
    """
    before = await engine.store.get(spec.continued_from or "")
    if before is None or before.spec.client_id != spec.client_id:
        raise NotFound(None if before is None else before.spec.client_id)
    above = before.spec
    kept = {name: getattr(above, name) for name in inherited}
    wanted = replace(spec, started_by=above.started_by, depth=above.depth, detached=above.detached, **kept)
    # It has the key of the run before, and so does not wait in its line.
    wanted = replace(wanted, flow=tuple(entry for entry in wanted.flow if not is_line(entry)))
    root = await engine.store.get(keys.root_of(spec.run_id)) if before.is_settled else None
    if before.status is Status.CANCELLED:
        raise RunCancelled
    if before.is_settled and (root is None or root.spec.continued_from != before.id):
        raise AttemptOver(before, attempt)
    inserted = await start_root(engine, wanted, keep if wanted.singleton is not None else None)
    root = inserted.step
    if root.spec.continued_from != before.id:
        raise RunExists(root)
    if not is_same_run(root, wanted):
        raise PayloadMismatch(root)
    return StartResult(root, created=isinstance(inserted, Created))


async def _end(engine: Engine, link: Step, event: LinkEnded) -> Step:
    after, _ = await commit(engine, link, event)
    return after


async def _defer(engine: Engine, link: Step, refused: Refused) -> Step:
    """The run may not be started now. That is no failure: the link tries again, and says why."""
    now_ms = engine.clock.now_ms()
    until_ms = now_ms + max(_PAUSE_MIN_MS, min(refused.wait_ms, _PAUSE_MAX_MS))
    after, _ = await commit(
        engine, link, LinkDue(until_ms, StepError(ErrorKind.START_REFUSED, refused.detail))
    )
    return after
