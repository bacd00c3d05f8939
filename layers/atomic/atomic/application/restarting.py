"""Restart: a run that has ended is started again, as another run. The run before stays as it is.

The key of the new run says which restart it is, so a repeated request finds it.
"""

from dataclasses import replace

from atomic.application.engine import Engine
from atomic.application.reentry import has_expired
from atomic.application.refusals import Busy, PayloadMismatch, RunExists, RunGoesOn
from atomic.application.singletons import taken
from atomic.application.start import Created, First, StartResult, start_root
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys


async def check_ended(engine: Engine, root: Step) -> None:
    """Raise RunGoesOn unless the run of this root has ended, and those as which it went on."""
    last: Step | None = root
    while last is not None and last.continued_as is not None:
        last = await engine.store.get(last.continued_as)
    if last is not None and not last.is_settled:
        raise RunGoesOn(last)


async def restart(engine: Engine, ended: Step, spec: StepSpec) -> StartResult:
    """Create the root, and begin its first attempt; or find it, if this restart was asked for before.

    `ended`: the root of the run before.

    Raises Busy when another run has the key of its singleton, PayloadMismatch when its idempotency key is
    that of a run with another payload, and RunExists when it is that of a run that is no such restart.
    """
    inserted = await start_root(engine, spec, await _key_of_singleton(engine, spec))
    root = inserted.step
    if root.spec.fingerprint != spec.fingerprint:
        raise PayloadMismatch(root)
    # One that was erased or has expired may have had the same id.
    is_restart = root.spec.restart_of == spec.restart_of and root.created_at_ms >= ended.created_at_ms
    if root.spec.identity != spec.identity or not is_restart:
        raise RunExists(root)
    is_new = isinstance(inserted, Created)
    return StartResult(root, created=is_new, replayed=not is_new)


async def _key_of_singleton(engine: Engine, spec: StepSpec) -> First | None:
    """What takes the key of the singleton before the first attempt, unless the run exists or waits in line.

    Whatever `onBusy` says, another run that has the key is neither cancelled nor taken for this one.
    """
    asked = spec.singleton
    if asked is None or asked.on_busy == "queue":
        return None
    root = await engine.store.get(keys.root_of(spec.run_id))
    if root is not None and not await has_expired(engine, root):
        return None
    found = await taken(engine, spec, replace(asked, on_busy="attach"))
    if isinstance(found, Step):
        raise Busy(found)
    return found
