"""Which runs, or dead letters, a list of the store has."""

from dataclasses import dataclass

from atomic.domain.steps import Step
from atomic.protocol.enums import LIVE, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """A filter for runs, by their root steps, newest first. `after` is the cursor of the last page.

    `live_only`: of those of `status`, only live ones. `key_part` is anywhere in the key.
    """

    client_id: str
    status: Status | None = None
    live_only: bool = False
    workflow_name: str | None = None
    key_prefix: str | None = None
    key_part: str | None = None
    created_from_ms: int | None = None
    created_before_ms: int | None = None
    tags: tuple[str, ...] = ()
    after: tuple[int, str] | None = None
    limit: int = 50

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The states of the wanted runs."""
        chosen = tuple(Status) if self.status is None else (self.status,)
        return tuple(status for status in chosen if status in LIVE) if self.live_only else chosen

    def fits(self, step: Step) -> bool:
        """Whether the step fits the filter, apart from its status. All stores use this rule."""
        spec = step.spec
        from_ms, before_ms = self.created_from_ms, self.created_before_ms
        return (
            spec.client_id == self.client_id
            and self.workflow_name in {None, spec.workflow_name}
            and spec.idempotency_key.startswith(self.key_prefix or "")
            and (self.key_part or "") in spec.idempotency_key
            and (not self.tags or frozenset(self.tags) <= frozenset(spec.tags))
            and (from_ms is None or step.created_at_ms >= from_ms)
            and (before_ms is None or step.created_at_ms < before_ms)
            and (self.after is None or (step.created_at_ms, step.id) < self.after)
        )
