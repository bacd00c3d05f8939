"""Singletons: of the runs that share a key, one goes on at a time.

A start points the key at its run (not held yet), writes the row, and points again (held). Only then the
first attempt is made. A process may end in between:

- A pointer that is not held, at a run without a live row, is a start that is under way or was interrupted.
  Others may take the key from it. If its process goes on after all, it finds that when it points again.
- A row whose run does not have the key when its first attempt is due gives way, or takes a free key.

Both moves of the pointer are conditional, so one of two processes always loses. A pointer that is held says
who has the key as long as the root of that run, or of a run that goes on for it, is live.
"""

import asyncio
from functools import partial
from typing import Final

from atomic.application.cancel import cancel_run
from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.flow import above
from atomic.application.pointing import moved
from atomic.application.refusals import Busy
from atomic.application.start import First
from atomic.domain.events import Paced, Superseded
from atomic.domain.pointers import Pointer, Singleton, kept_until_ms
from atomic.domain.steps import Step, StepSpec
from atomic.domain.superseding import is_heard
from atomic.protocol import keys
from atomic.protocol.enums import Status

# For so long, a start waits for one that is under way. To take the key from it would end its run.
_LOOKS: Final = 10
_LOOK_S: Final = 0.1
# How often the first in line looks whether a run that is not in line still has the key.
_LOOK_AGAIN_MS: Final = 2_000


async def taken(engine: Engine, spec: StepSpec, asked: Singleton) -> First | Step:
    """Take the key for a run that is about to be started: what it does before its first attempt.

    Or the root to attach to. Raises Busy when another run has the key, and the start is to be left out.
    """
    looks = 1 if asked.on_busy == "cancel" else _LOOKS
    while True:
        pointer = await _pointer(engine, spec, asked)
        root = None if pointer is None else await live_root(engine, pointer)
        if root is not None and root.spec.run_id != spec.run_id:
            if asked.on_busy == "attach":
                return root
            if asked.on_busy != "cancel":
                raise Busy(root)
            await cancel_run(engine, root.spec.run_id)
        elif pointer is not None and not pointer.is_held and pointer.run_id == spec.run_id:
            return partial(_confirmed, pointer)
        elif looks > 1 and pointer is not None and not pointer.is_held:
            looks -= 1
            await asyncio.sleep(_LOOK_S)
        elif (mine := await _move(engine, pointer, spec, asked, is_held=False)) is not None:
            return partial(_confirmed, mine)


async def keep(engine: Engine, root: Step) -> Step:
    """Make sure that the run has its key before its first attempt. If another one has it, this one ends.

    Returns the row. One that waits in line goes on waiting.
    """
    return await _confirmed(None, engine, root)


async def without_key(engine: Engine, due: Step) -> Step | None:
    """The row of a due root that gives way to another one, or waits for it; None if it may be called."""
    if not due.is_root or is_heard(due):
        return None
    after = await keep(engine, due)
    return None if after is due else after


async def _confirmed(known: Pointer | None, engine: Engine, root: Step) -> Step:
    spec, asked = root.spec, root.spec.singleton
    if asked is None:
        return root
    pointer = known or await _pointer(engine, spec, asked)
    while not (root.is_settled or is_heard(root) or _has_key(pointer, spec)):
        other = None if pointer is None else await _other(engine, pointer, root)
        if other is not None and asked.on_busy == "queue":
            return await _behind(engine, root, other)
        holder = spec if other is None else other.spec
        if not _has_key(pointer, holder):
            # A run whose start is under way could still lose the key. From now on it does not.
            mine = await _move(engine, pointer, holder, asked, is_held=True)
            pointer = mine or await _pointer(engine, spec, asked)
        elif other is not None:
            root, _ = await commit(engine, root, Superseded(other.id, root.version))
    return root


def _has_key(pointer: Pointer | None, spec: StepSpec) -> bool:
    return pointer is not None and pointer.is_held and pointer.run_id == spec.run_id


async def _other(engine: Engine, pointer: Pointer, root: Step) -> Step | None:
    """The live root that has the key, if it is neither this one nor the one that this one goes on for."""
    other = None if pointer.run_id == root.spec.run_id else await live_root(engine, pointer)
    return None if other is None or other.id in {root.id, root.spec.continued_from} else other


async def _behind(engine: Engine, root: Step, other: Step) -> Step:
    """The first in line waits for a run that has the key without being in line, unless it is inside it."""
    if other.id in await above(engine, root):
        return root
    after, _ = await commit(engine, root, Paced(engine.clock.now_ms() + _LOOK_AGAIN_MS))
    return after


async def may_redrive(engine: Engine, root: Step) -> None:
    """Take the key for a failed run that is about to be redriven. Raises Busy when another run has it."""
    spec, asked = root.spec, root.spec.singleton
    if asked is None or asked.on_busy == "queue" or root.status is not Status.FAILED:
        return
    while True:
        pointer = await _pointer(engine, spec, asked)
        other = None if pointer is None else await live_root(engine, pointer)
        if other is not None and other.spec.run_id != spec.run_id:
            raise Busy(other)
        if await _move(engine, pointer, spec, asked, is_held=False):
            return


async def live_root(engine: Engine, pointer: Pointer) -> Step | None:
    """The live root of the run that has the key, or of the one that goes on for it."""
    root = await engine.store.get(keys.root_of(pointer.run_id))
    while root is not None and root.continued_as is not None:
        root = await engine.store.get(root.continued_as)
    return None if root is None or root.is_settled else root


async def _pointer(engine: Engine, spec: StepSpec, asked: Singleton) -> Pointer | None:
    return await engine.store.get_pointer(spec.client_id, "singleton", asked.key)


async def _move(
    engine: Engine, before: Pointer | None, spec: StepSpec, asked: Singleton, *, is_held: bool
) -> Pointer | None:
    """Point the key at the run of this root; None if somebody else has moved the pointer meanwhile."""
    after = Pointer(
        client_id=spec.client_id,
        kind="singleton",
        key=asked.key,
        run_id=spec.run_id,
        is_held=is_held,
        expires_at_ms=kept_until_ms(engine.clock.now_ms(), spec.retention_ms),
    )
    return await moved(engine, before, after)
