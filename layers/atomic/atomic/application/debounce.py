"""Debounce: of the starts of a burst only the last one runs.

Each start makes a run of its own, which is due when the burst has been quiet. It points the key at its run,
writes the row, and ends the run that the pointer named before. A process may end in between:

- The pointer names a run without a row: its start was interrupted, or is under way. The run before is
  still pending, and runs when it is due.
- The run before was not ended: when it is due, the pointer names a newer one, so it ends itself in place
  of its first attempt.

A run that was heard of is never ended. What is posted after it has begun is a burst of its own.
"""

from dataclasses import replace
from functools import partial

from atomic.application.commit import commit
from atomic.application.engine import Engine
from atomic.application.pointing import moved
from atomic.application.reentry import has_expired
from atomic.application.start import First
from atomic.domain.events import Superseded
from atomic.domain.pointers import Debounce, Pointer
from atomic.domain.steps import Step, StepSpec
from atomic.domain.superseding import is_heard
from atomic.protocol import keys


async def joined(engine: Engine, spec: StepSpec, asked: Debounce) -> tuple[StepSpec, First]:
    """Let a run that is about to be started be the newest of its burst.

    Returns its spec, which says when it is due, and what it does before its first attempt.
    """
    while True:
        now_ms = engine.clock.now_ms()
        pointer = await engine.store.get_pointer(spec.client_id, "debounce", asked.key)
        before = None if pointer is None else await engine.store.get(keys.root_of(pointer.run_id))
        is_open = pointer is not None and _is_open(before, pointer, now_ms)
        if pointer is not None and is_open and pointer.run_id == spec.run_id:
            # The same start was interrupted, or is under way in another process.
            return replace(spec, start_at_ms=pointer.due_ms), partial(_end, None)
        first_ms = pointer.first_ms if pointer is not None and is_open else now_ms
        due_ms = asked.due_ms(first_ms, now_ms)
        after = Pointer(
            client_id=spec.client_id,
            kind="debounce",
            key=asked.key,
            run_id=spec.run_id,
            first_ms=first_ms,
            due_ms=due_ms,
            expires_at_ms=due_ms + spec.retention_ms,
        )
        if await moved(engine, pointer, after):
            return replace(spec, start_at_ms=due_ms), partial(_end, before)


async def give_way(engine: Engine, root: Step) -> Step:
    """End a run whose attempt was claimed just now, if it is not the newest of its burst. Returns the row.

    The pointer is read after the claim, and a newer start writes the pointer before it looks whether this
    run has begun. So one of the two sees the other. An attempt that was lost may not have been
    made; then the newer run takes its place as well.
    """
    asked = root.spec.debounce
    if asked is None or not root.is_root or root.generation > 1 or is_heard(root):
        return root
    pointer = await engine.store.get_pointer(root.spec.client_id, "debounce", asked.key)
    if pointer is None or pointer.run_id == root.spec.run_id:
        return root
    newer = await engine.store.get(keys.root_of(pointer.run_id))
    if newer is None or await has_expired(engine, newer):
        return root
    after, _ = await commit(engine, root, Superseded(newer.id, root.version))
    return after


def _is_open(root: Step | None, pointer: Pointer, now_ms: int) -> bool:
    """Whether the run that the pointer names has not begun, so that its burst goes on."""
    if root is None:
        return now_ms < pointer.due_ms
    return not root.is_settled and root.attempt_count == 0


async def _end(before: Step | None, engine: Engine, newer: Step) -> Step:
    """End the run that was the newest before, unless it has begun. Returns the newer one."""
    if before is not None and before.id != newer.id:
        await commit(engine, before, Superseded(newer.id))
    return newer
