"""A cache of runs in this process, so that the steps of a run need not read its root each time.

A miss costs one read and nothing else: every decision that matters is made by a conditional write.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeVar

from atomic.application.ports import StepStore
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status

T = TypeVar("T")

_RUNS_MAX: Final = 10_000
# Another process may end the run meanwhile, so its root is read every few seconds, at almost no cost. This
# is far shorter than any retention, so that a run is never cached longer than its root is kept.
FRESH_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class CachedRun:
    """A run, from its root as it was read at `seen_at_ms` or later."""

    client_id: str
    workflow_name: str
    root_identity: str
    root_url: str
    status: Status
    expires_at_ms: int | None
    version: int
    seen_at_ms: int

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled, so that none of its endpoints may be called."""
        return self.status is Status.CANCELLED


class RunCache:
    """The runs that this process has read last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, CachedRun] = OrderedDict()
        # Kept apart, so that reads of other runs do not push out a cancelled run with live attempts.
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        # The same of single steps: when each was created, for an identity may begin anew.
        self._cancelled_steps: OrderedDict[str, int] = OrderedDict()

    def is_step_cancelled(self, step_id: str | None) -> bool:
        """Whether this process has seen that the step was cancelled, and not its run."""
        return step_id in self._cancelled_steps

    def remember_cancelled_step(self, step: Step) -> None:
        """From now on nothing is called for the step, and posts of its handler are refused."""
        _put(self._cancelled_steps, step.id, step.created_at_ms)

    def is_off(self, step: Step) -> bool:
        """Whether this process knows that nothing may be called for the step any more."""
        is_cancelled = self._cancelled_steps.get(step.id) == step.created_at_ms
        return is_cancelled or self.is_cancelled(step.spec.run_id)

    def is_cancelled(self, run_id: str) -> bool:
        """Whether this process knows that the run was cancelled."""
        return run_id in self._cancelled

    def get(self, run_id: str, now_ms: int) -> CachedRun | None:
        """The run, if it was read lately."""
        cached = self._runs.get(run_id)
        # After the clock was set back, the time that has passed is unknown.
        return cached if cached and 0 <= now_ms - cached.seen_at_ms < FRESH_MS else None

    async def find(self, store: StepStore, run_id: str, now_ms: int) -> CachedRun | None:
        """The run, from the cache or by reading its root; None when there is no such run."""
        return self.get(run_id, now_ms) or await self.look(store, run_id, now_ms)

    async def look(self, store: StepStore, run_id: str, now_ms: int) -> CachedRun | None:
        """The run, by reading its root; None when there is no such run."""
        root = await store.get(keys.root_of(run_id))
        return None if root is None else self.remember(root, now_ms)

    def remember(self, root: Step, at_ms: int) -> CachedRun:
        """Cache the run by its root, whose read began at `at_ms`; the run as it is cached now.

        A read that began earlier may be answered later. It does not replace a newer root.
        """
        run_id = root.spec.run_id
        before = self._runs.get(run_id)
        if before is not None and before.version > root.version and at_ms < before.seen_at_ms + FRESH_MS:
            return before
        cached = CachedRun(
            client_id=root.spec.client_id,
            workflow_name=root.spec.workflow_name,
            root_identity=root.spec.identity,
            root_url=root.spec.url,
            status=root.status,
            expires_at_ms=root.expires_at_ms,
            version=root.version,
            seen_at_ms=at_ms,
        )
        _put(self._runs, run_id, cached)
        if cached.is_cancelled:
            _put(self._cancelled, run_id, None)
        else:
            self._cancelled.pop(run_id, None)
        return cached

    def forget(self, run_id: str) -> None:
        """Drop the run, so that its root is read before it is used again."""
        self._runs.pop(run_id, None)


def _put(newest: OrderedDict[str, T], run_id: str, value: T) -> None:
    newest[run_id] = value
    newest.move_to_end(run_id)
    if len(newest) > _RUNS_MAX:
        newest.popitem(last=False)
