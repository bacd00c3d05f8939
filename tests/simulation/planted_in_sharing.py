"""Faults planted in singletons and debounce, each of which the laws of `sharing_world` must find."""

from typing import Any, Final

import atomic.application.debounce as debounce
import atomic.application.process_wakeup as driving
import atomic.application.restarting as restarting
import atomic.application.singletons as singletons
from atomic.application.engine import Engine
from atomic.domain.pointers import Pointer
from atomic.domain.steps import Step, StepSpec

_moved = singletons.moved


async def _blindly(engine: Engine, before: Pointer | None, after: Pointer) -> Pointer | None:
    """The pointer is moved whatever others have done meanwhile."""
    while (done := await _moved(engine, before, after)) is None:
        before = await engine.store.get_pointer(after.client_id, after.kind, after.key)
    return done


async def _not_confirmed(known: Pointer | None, engine: Engine, root: Step) -> Step:
    """The first attempt is made without asking whether the run still has the key."""
    del known, engine
    return root


async def _nobody(engine: Engine, pointer: Pointer) -> None:
    """A run that has the key is taken for one that has ended."""
    del engine, pointer


async def _always_called(engine: Engine, root: Step) -> Step:
    """A due run of a burst does not look whether it is the newest."""
    del engine
    return root


async def _not_ended(before: Step | None, engine: Engine, newer: Step) -> Step:
    """A start does not end the run before it, and a due run is not looked at either."""
    del before, engine
    return newer


async def _not_without(engine: Engine, due: Step) -> Step | None:
    """A due run does not ask for its key."""
    del engine, due
    return None


async def _without_singleton(engine: Engine, spec: StepSpec) -> None:
    """A restart does not take the key of its singleton before its first attempt."""
    del engine, spec


PLANTED: Final[dict[str, list[tuple[Any, str, Any]]]] = {
    "the pointer is moved without a condition": [(singletons, "moved", _blindly)],
    "a run is called without its key": [
        (singletons, "_confirmed", _not_confirmed),
    ],
    "a live run has no key": [(singletons, "live_root", _nobody)],
    "a due run of a burst is not looked at": [(driving, "give_way", _always_called)],
    "nobody ends the runs of a burst": [
        (driving, "give_way", _always_called),
        (debounce, "_end", _not_ended),
    ],
    "a due run does not ask for its key": [(driving, "without_key", _not_without)],
    "a restart does not ask for its key": [(restarting, "_key_of_singleton", _without_singleton)],
}
