"""Starts that share a key with others: those of a singleton, and those of a burst (debounce)."""

from dataclasses import dataclass

from atomic.application.debounce import joined
from atomic.application.engine import Engine
from atomic.application.reentry import has_expired
from atomic.application.refusals import IsNoRoot
from atomic.application.singletons import taken
from atomic.application.start import First
from atomic.domain.steps import Step, StepSpec
from atomic.protocol import keys


@dataclass(frozen=True, slots=True)
class Place:
    """A run that is to be started, and what it does before its first attempt."""

    spec: StepSpec
    first: First | None = None


async def place(engine: Engine, spec: StepSpec) -> Place | Step:
    """What the start of a run does; or the root of another one, which the caller attaches to.

    The same start, posted again, finds its own run, whichever run has the key. Raises Busy.
    """
    if spec.singleton is None and spec.debounce is None:
        return Place(spec)
    root = await engine.store.get(keys.root_of(spec.run_id))
    if root is not None and not await has_expired(engine, root):
        if root.spec.identity != spec.identity:
            raise IsNoRoot
        return Place(spec)
    if spec.debounce is not None:
        return Place(*await joined(engine, spec, spec.debounce))
    # Those in line take the key when it is their turn.
    if spec.singleton is None or spec.singleton.on_busy == "queue":
        return Place(spec)
    found = await taken(engine, spec, spec.singleton)
    return found if isinstance(found, Step) else Place(spec, found)
