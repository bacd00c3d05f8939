"""Which runs, or dead letters, a list of the store has, and a page of such a list."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from atomic.domain.steps import Step
from atomic.protocol.enums import Status

# When a step was created, and its id: where a page of a list has ended.
Cursor = tuple[int, str]


def cursor_of(step: Step) -> Cursor:
    """The cursor of a page that ends with this step."""
    return step.created_at_ms, step.id


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """A filter for runs, by their root steps, newest first. `after` is the cursor of the last page.

    `among`: of those of `status`, only these. `key_part` is anywhere in the key. `cause` and
    `dismissed` have only failed runs: those with the cause of this id; those that were dismissed, or, if it
    is False, that need action.
    """

    client_id: str
    status: Status | None = None
    among: frozenset[Status] = frozenset(Status)
    workflow_name: str | None = None
    key_prefix: str | None = None
    key_part: str | None = None
    created_from_ms: int | None = None
    created_before_ms: int | None = None
    tags: tuple[str, ...] = ()
    cause: str | None = None
    dismissed: bool | None = None
    after: Cursor | None = None
    limit: int = 50

    @property
    def statuses(self) -> tuple[Status, ...]:
        """The states of the wanted runs."""
        chosen = tuple(Status) if self.status is None else (self.status,)
        if self.is_of_failed:
            chosen = tuple(status for status in chosen if status is Status.FAILED)
        return tuple(status for status in chosen if status in self.among)

    @property
    def is_of_failed(self) -> bool:
        """Whether it has only failed runs, by their causes."""
        return self.cause is not None or self.dismissed is not None

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
            and (not self.is_of_failed or self._fits_failed(step))
            and (from_ms is None or step.created_at_ms >= from_ms)
            and (before_ms is None or step.created_at_ms < before_ms)
            and (self.after is None or (step.created_at_ms, step.id) < self.after)
        )

    def _fits_failed(self, root: Step) -> bool:
        if root.cause is None:
            return False
        is_of_cause = self.cause is None or root.cause.id == self.cause
        return is_of_cause and self.dismissed in {None, root.dismissal is not None}


@dataclass(frozen=True, slots=True)
class Counted:
    """How many there are; at least so many, unless these are all."""

    number: int
    is_all: bool


class ListPage(list[Step]):
    """Root steps, newest first. `after` is the cursor of the next page; None when there is none.

    A page that is not full has a next one where a store reads so many rows for a page at most.
    """

    def __init__(self, steps: Iterable[Step], after: Cursor | None) -> None:
        super().__init__(steps)
        self.after = after

    @classmethod
    def of(cls, steps: list[Step], query: RunQuery) -> Self:
        """A page that ends where it is full, or at the end of the list."""
        return cls(steps, cursor_of(steps[-1]) if steps and len(steps) == query.limit else None)
