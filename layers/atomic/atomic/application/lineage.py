"""The steps above others: those that wait for them, or did."""

from atomic.application.ports import StepStore
from atomic.domain.steps import Step
from atomic.protocol import keys


class Lineage:
    """Looks up what stands above steps, each row once."""

    def __init__(self, store: StepStore) -> None:
        self._store = store
        self._known: dict[str, Step | None] = {}

    async def ancestors(self, step: Step) -> list[Step]:
        """The steps above this one, the nearest first, the root last; empty for a root."""
        ancestors: list[Step] = []
        if step.is_root:
            return ancestors
        root_id, seen = keys.root_of(step.spec.run_id), {step.id}
        # A parent is named by whoever posts the step: it may not exist, or stand below it.
        while step.spec.parent is not None and step.spec.parent not in seen and step.spec.parent != root_id:
            seen.add(step.spec.parent)
            parent = await self._get(step.spec.parent)
            if parent is None:
                break
            ancestors.append(parent)
            step = parent
        root = await self._get(root_id)
        return ancestors if root is None else [*ancestors, root]

    async def _get(self, step_id: str) -> Step | None:
        if step_id not in self._known:
            self._known[step_id] = await self._store.get(step_id)
        return self._known[step_id]
