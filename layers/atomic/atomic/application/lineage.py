"""The ancestors of a step: its parent, the parent of that one, up to the root."""

from atomic.application.ports import StepStore
from atomic.domain.steps import Step
from atomic.protocol import keys


class Lineage:
    """Looks up the ancestors of steps, and reads each row once."""

    def __init__(self, store: StepStore) -> None:
        self._store = store
        self._known: dict[str, Step | None] = {}

    async def ancestors(self, step: Step) -> list[Step]:
        """The ancestors of this step, the parent first, the root last; empty for a root."""
        ancestors: list[Step] = []
        if step.is_root:
            return ancestors
        root_id, seen = keys.root_of(step.spec.run_id), {step.id}
        # The caller names the parent, so it may not exist, or may be a descendant of the step.
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
