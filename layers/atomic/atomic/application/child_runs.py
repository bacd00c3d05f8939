"""Child runs: what a link does when it is posted, and each time that it is due.

The link is written first, then the root of its run. Each effect may be repeated: the root is created by a
conditional write, and names the link that created it.
"""

from typing import Final

from atomic.application.admission import Refused
from atomic.application.cancel import end_called_off
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.links import follow
from atomic.application.start import Created, start_root
from atomic.application.wakeups import wake_if_overdue
from atomic.domain.events import LinkDue, LinkEnded
from atomic.domain.links import (
    failed_by,
    is_called_off,
    is_same_run,
    recheck_at_ms,
    root_spec,
    run_exists,
)
from atomic.domain.outcomes import StepError
from atomic.domain.steps import Step
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
    root = await engine.store.get(link.spec.child_root)
    if root is None or link.id not in root.waiters:
        link = await begin_run(engine, link)
    else:
        link = await follow(engine, commit, link, root)
        await wake_if_overdue(engine, root)
    now_ms = engine.clock.now_ms()
    if link.due_at_ms is not None and link.due_at_ms <= now_ms and not is_called_off(link):
        link, _ = await commit(engine, link, LinkDue(recheck_at_ms(link, now_ms)))
    return link


async def begin_run(engine: Engine, link: Step) -> Step:
    """Start the run of a link, or attach to it; the link as it then stands."""
    wanted = root_spec(link)
    client = await engine.clients.get(wanted.client_id)
    if client is None:
        return await _end(engine, link, failed_by(link, ErrorKind.CLIENT_MAY_NOT_CALL))
    reserved = await engine.admission.reserve(engine.store, client, wanted, engine.clock.now_ms())
    if isinstance(reserved, Refused):
        return await _defer(engine, link, reserved)
    async with reserved as reservation:
        inserted = await start_root(engine, wanted)
        if isinstance(inserted, Created):
            reservation.keep()
    root = inserted.step
    if not is_same_run(root, wanted):
        return await _end(engine, link, failed_by(link, ErrorKind.CHILD_DIFFERS, root.spec.run_id))
    if link.spec.detached:
        return await _end(engine, link, run_exists(link))
    return link if isinstance(inserted, Created) else await follow(engine, commit, link, root)


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
