"""The retentions of single workflows: what a client keeps of them, and for how long a run is kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

# The record of a client has all of them.
RETENTIONS_MAX: Final = 50
DAY_MS: Final = 24 * 3600 * 1000
# That of a server, unless it is told another one.
RETENTION_MS: Final = 30 * DAY_MS


class TooManyRetentions(ValueError):
    """The client has set the retentions of as many workflows as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRetention:
    """The runs of the workflow are kept for so many days after their end."""

    workflow_name: str
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retentions:
    """Those of a client, by the names of workflows.

    `shortest_days`: the shortest that was ever set. Runs that began under it may still go on.
    """

    workflows: tuple[WorkflowRetention, ...] = ()
    shortest_days: int | None = None

    def days_of(self, name: str) -> int | None:
        """The retention of this workflow; None when it has that of the server."""
        return next((each.days for each in self.workflows if each.workflow_name == name), None)

    def ms_of(self, name: str, most_ms: int) -> int:
        """For how long a run of this workflow is kept; `most_ms` is the retention of the server."""
        days = self.days_of(name)
        return most_ms if days is None else min(days * DAY_MS, most_ms)

    def including(self, retention: WorkflowRetention) -> "Retentions":
        """These, and this one in place of that of its workflow. Raises TooManyRetentions."""
        others = self.without(retention.workflow_name).workflows
        if len(others) >= RETENTIONS_MAX:
            raise TooManyRetentions
        workflows = sorted([*others, retention], key=lambda each: each.workflow_name)
        shortest_days = min(retention.days, self.shortest_days or retention.days)
        return Retentions(workflows=tuple(workflows), shortest_days=shortest_days)

    def without(self, name: str) -> "Retentions":
        """These without that of this workflow."""
        return replace(self, workflows=tuple(each for each in self.workflows if each.workflow_name != name))


NO_RETENTIONS: Final = Retentions()


def load_retentions(record: Mapping[str, Any]) -> Retentions:
    """The retentions of a record, which has their members; of an empty one, none."""
    loaded: Iterable[Mapping[str, Any]] = record.get("workflows", ())
    workflows = tuple(WorkflowRetention(**each) for each in loaded)
    return Retentions(workflows=workflows, shortest_days=record.get("shortest_days"))
