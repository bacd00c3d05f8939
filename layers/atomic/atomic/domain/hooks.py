"""Hooks: what of its runs and steps a client wants to be told of, and what a row keeps of that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atomic.protocol.enums import HookEvent, RunEvent, Status
from atomic.protocol.error_kinds import ErrorKind

# The name of each hook that comes with a start. No hook of a client can have it.
OF_START: Final = "@start"
# Each end may owe a delivery to each of them, and the row of a client has all of them.
HOOKS_MAX: Final = 10


class TooManyHooks(ValueError):
    """The client has as many hooks as it may have."""


class UnknownHook(ValueError):
    """The client has no hook of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Where a client is told of these events; only of this workflow, if it has a name."""

    name: str
    url: str
    on: tuple[HookEvent, ...]
    workflow_name: str | None = None

    def wants(self, event: HookEvent, workflow_name: str) -> bool:
        """Whether it is told of such an event of such a workflow."""
        return event in self.on and self.workflow_name in {None, workflow_name}


@dataclass(frozen=True, slots=True)
class RunHook:
    """Where an event of one run is told, as its start has asked."""

    event: RunEvent
    url: str


@dataclass(frozen=True, slots=True)
class Told:
    """A hook that is told, and where. Another process may not know the hook yet, or not any more."""

    hook: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """Something that has happened to a step, and the hooks whose deliveries may not be started yet.

    It has all that a delivery says of the event, since the row may go on before: a failed run is redriven.
    `deadline_at_ms`: by when an event that was opened expires.
    """

    event: HookEvent
    at_ms: int
    generation: int
    status: Status
    told: tuple[Told, ...]
    error_kind: ErrorKind | None = None
    response_status: int | None = None
    deadline_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Slots of a schedule without a run, and the hooks whose deliveries may not be started yet.

    They lie from `first_ms` to `last_ms`, and were found at `at_ms`. `count` is their number, at least.
    """

    at_ms: int
    first_ms: int
    last_ms: int
    count: int
    told: tuple[Told, ...]


def with_hook(hooks: Iterable[Hook], hook: Hook) -> tuple[Hook, ...]:
    """The hooks by their names, with this one in place of that of its name. Raises TooManyHooks."""
    others = [other for other in hooks if other.name != hook.name]
    if len(others) >= HOOKS_MAX:
        raise TooManyHooks
    return tuple(sorted([*others, hook], key=lambda each: each.name))


def without_hook(hooks: Sequence[Hook], name: str) -> tuple[Hook, ...]:
    """The hooks without that of this name. Raises UnknownHook when there is none."""
    others = tuple(hook for hook in hooks if hook.name != name)
    if len(others) == len(hooks):
        raise UnknownHook(name)
    return others


def load_hooks(records: Iterable[Mapping[str, Any]]) -> tuple[Hook, ...]:
    """The hooks of records, which have the members of a hook."""
    return tuple(Hook(**{**record, "on": tuple(record["on"])}) for record in records)


def run_hook_records(hooks: Iterable[RunHook]) -> list[list[str]]:
    """The hooks of a start, for a row."""
    return [[hook.event, hook.url] for hook in hooks]


def load_run_hooks(records: Iterable[Sequence[Any]]) -> tuple[RunHook, ...]:
    """The hooks of a start, from the record of a row."""
    return tuple(RunHook(*record) for record in records)


def gap_record(gap: Gap) -> list[Any]:
    """A gap, for the row of its schedule."""
    told = [[told.hook, told.url] for told in gap.told]
    return [gap.at_ms, gap.first_ms, gap.last_ms, gap.count, told]


def load_gap(record: Sequence[Any]) -> Gap:
    """A gap, from the record of a row."""
    at_ms, first_ms, last_ms, count, told = record
    told = tuple(Told(*each) for each in told)
    return Gap(at_ms=at_ms, first_ms=first_ms, last_ms=last_ms, count=count, told=told)


def owed_record(owed: Owed) -> list[Any]:
    """What is owed, for a row."""
    kind = None if owed.error_kind is None else owed.error_kind.value
    head = [owed.event, owed.at_ms, owed.generation, owed.status.value]
    told = [[told.hook, told.url] for told in owed.told]
    return [*head, told, kind, owed.response_status, owed.deadline_at_ms]


def load_owed(record: Sequence[Any]) -> Owed:
    """What is owed, from the record of a row."""
    event, at_ms, generation, status, told, kind, response_status, deadline_at_ms = record
    return Owed(
        event=event,
        at_ms=at_ms,
        generation=generation,
        status=Status(status),
        told=tuple(Told(*each) for each in told),
        error_kind=None if kind is None else ErrorKind(kind),
        response_status=response_status,
        deadline_at_ms=deadline_at_ms,
    )
