"""Erases runs that have ended: no row and no text of them stays in the store."""

from collections.abc import Sequence

from atomic.application.deliveries import pay
from atomic.application.engine import Engine
from atomic.application.refusals import NotFound, RunLive
from atomic.application.restarting import check_ended
from atomic.domain.clients.client import Client
from atomic.domain.outlines import StepOutline
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import SETTLED, Status


async def erase_run(engine: Engine, client: Client, run_id: str) -> None:
    """Erase a run of the client. A second call ends what was interrupted.

    Raises NotFound when there is none (any more), RunLive while one of its steps is live, and RunGoesOn
    while the last run as which it goes on is live. Runs that it has started are runs of their own, and
    stay.
    """
    if not keys.is_run_id(run_id):
        raise NotFound
    while (root := await engine.store.get(keys.root_of(run_id))) is not None:
        if root.spec.client_id != client.id:
            raise NotFound(root.spec.client_id)
        outline = await engine.store.outline(run_id)
        # The root is among them.
        if live := sum(step.status not in SETTLED for step in outline):
            raise RunLive(run_id, live)
        # Who follows the chain of runs would take a live one for ended.
        await check_ended(engine, root)
        if await _paid(engine, root, outline):
            continue
        # A redrive writes the root, and then the row is another one.
        if await engine.store.erase(client.id, run_id, root):
            break
    else:
        if not await engine.store.erase(client.id, run_id, None):
            raise NotFound
    engine.runs.forget(run_id)


async def _paid(engine: Engine, root: Step, outline: Sequence[StepOutline]) -> bool:
    """Start what the rows of the run still owe to hooks; whether there was any.

    Besides the end of the run, hooks are told of steps that failed, and of events.
    """
    told = [
        step.id
        for step in outline
        if (step.status is Status.FAILED or step.kind == "event") and step.id != root.id
    ]
    owing = [
        row for row in (root, *[await engine.store.get(step_id) for step_id in told]) if row and row.owes
    ]
    for row in owing:
        await pay(engine, row)
    return bool(owing)
