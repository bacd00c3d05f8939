"""A step as flat records, the same for every store that writes rows.

The `spec` record is written once, the `progress` record with every change. Records are dicts of JSON
values. Payload and response body are bytes. They are stored beside the records or, when they are large,
apart: then the records have their names.

A member is left out when its value is an empty default (None, 0, "", False, no items). Other defaults are
written out: a later version may have another default, which must not change existing steps. A reader skips
unknown members, which a newer version wrote, and uses the default for missing ones.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import compress
from operator import attrgetter, ne
from typing import Any, Final

from atomic.domain.blobs import INLINE_MAX_BYTES, Blob, Text, name_record, named_text
from atomic.domain.causes import Cause, Dismissal
from atomic.domain.flow import entry_records, load_entries
from atomic.domain.hooks import load_owed, load_run_hooks, owed_record, run_hook_records
from atomic.domain.outcomes import StepError, StoredBody
from atomic.domain.pauses import Pause, Rest
from atomic.domain.pointers import Debounce, Singleton, debounce_record, singleton_record
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Attempt, Step, StepSpec, Watch
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind

Record = dict[str, Any]


class _Members:
    """The fields of a dataclass that go into a record by themselves."""

    def __init__(self, cls: type[Any], *names: str) -> None:
        chosen = [field for field in fields(cls) if not names or field.name in names]
        written = [field.name for field in chosen if not _is_empty(field.default)]
        self._names = frozenset(field.name for field in chosen)
        self._written = tuple(written)
        optional = {field.name: field.default for field in chosen if field.name not in written}
        self._optional, self._defaults = tuple(optional), tuple(optional.values())
        self._values = attrgetter(*written, *optional)

    def record(self, source: object) -> Record:
        # Each write makes several records, so this has no loop in Python.
        values = self._values(source)
        record = dict(zip(self._written, values))  # noqa: B905 - the optional ones follow
        rest = values[len(self._written) :]
        if rest != self._defaults:
            given = map(ne, rest, self._defaults)
            record.update(compress(zip(self._optional, rest, strict=True), given))
        return record

    def known(self, record: Record) -> Record:
        if record.keys() <= self._names:
            return record
        return {name: record[name] for name in self._names if name in record}


def _is_empty(default: object) -> bool:
    return default is not MISSING and not default


def _names_without(cls: type[Any], *others: str) -> list[str]:
    return [field.name for field in fields(cls) if field.name not in others]


_FIXED: Final = _Members(Step, "created_at_ms", "awaited")
_CHANGING: Final = _Members(
    Step,
    *_names_without(
        Step,
        *("spec", "id", "created_at_ms", "awaited"),
        *("watches", "attempt_log", "response", "error"),
        *("pause", "rest", "owes", "cause", "dismissal"),
    ),
)
_OWN: Final = ("flow", "singleton", "debounce", "hooks")
_SPEC: Final = _Members(StepSpec, *_names_without(StepSpec, "payload", "retry", *_OWN))
_RETRY: Final = _Members(RetryPolicy)
_ATTEMPT: Final = _Members(Attempt, *_names_without(Attempt, "error"))
_ERROR: Final = _Members(StepError, *_names_without(StepError, "last"))
_PAUSE: Final = _Members(Pause)
_REST: Final = _Members(Rest)
_CAUSE: Final = _Members(Cause)
_DISMISSAL: Final = _Members(Dismissal)
_TUPLES: Final = frozenset({"waiting_for", "waiters"})
_SPEC_TUPLES: Final = frozenset({"capture", "tags"})
_STATUS: Final = {status.value: status for status in Status}
_OUTCOME: Final = {kind.value: kind for kind in OutcomeKind}
_ERROR_KIND: Final = {kind.value: kind for kind in ErrorKind}


def spec_record(step: Step) -> Record:
    """The spec record: what was requested, and where and when the step began; of the payload its name."""
    record = bare_spec_record(step.spec)
    payload = step.spec.payload
    if isinstance(payload, Blob) and (name := name_record(payload)) is not None:
        record["payload"] = name
    record["position"] = step.position
    record.update(_FIXED.record(step))
    return record


def bare_spec_record(spec: StepSpec) -> Record:
    """What was requested, without its payload."""
    record = _SPEC.record(spec)
    record["retry"] = _RETRY.record(spec.retry)
    if spec.flow:
        record["flow"] = entry_records(spec.flow)
    if spec.singleton is not None:
        record["singleton"] = singleton_record(spec.singleton)
    if spec.debounce is not None:
        record["debounce"] = debounce_record(spec.debounce)
    if spec.hooks:
        record["hooks"] = run_hook_records(spec.hooks)
    return record


def progress_record(step: Step) -> Record:
    """The progress record; it has the form and content type of the response, not its body."""
    record = _CHANGING.record(step)
    if step.watches:
        record["watches"] = [[watch.waiter, watch.attempt, watch.origin] for watch in step.watches]
    if step.attempt_log:
        record["attempt_log"] = [_attempt_record(attempt) for attempt in step.attempt_log]
    if step.error is not None:
        record["error"] = _error_record(step.error)
    if step.pause is not None or step.rest is not None or step.owes or step.cause is not None:
        record |= _rare_record(step)
    if step.response is not None:
        record["response"] = {"form": step.response.form, "content_type": step.response.content_type}
        text = step.response.text
        if isinstance(text, Blob) and (name := name_record(text)) is not None:
            record["response"]["text"] = name
    return record


def _rare_record(step: Step) -> Record:
    """What few rows have."""
    record = Record()
    if step.pause is not None:
        record["pause"] = _PAUSE.record(step.pause)
    if step.rest is not None:
        record["rest"] = _REST.record(step.rest)
    if step.owes:
        record["owes"] = [owed_record(owed) for owed in step.owes]
    if step.cause is not None:
        record["cause"] = _CAUSE.record(step.cause)
    if step.dismissal is not None:
        record["dismissal"] = _DISMISSAL.record(step.dismissal)
    return record


def load_step(
    spec: Mapping[str, Any], payload: bytes, progress: Mapping[str, Any], response: bytes | None
) -> Step:
    """The step of two records, its payload and the text of its response.

    Raises KeyError, TypeError or ValueError for malformed records.
    """
    members = dict(progress)
    attempts = members.pop("attempt_log", ())
    watches = load_watches(members.pop("watches", ()))
    form, error = members.pop("response", None), members.pop("error", None)
    rare = {} if _RARE.isdisjoint(members) else _rare_members(members)
    members = _CHANGING.known(members)
    members.update(rare)
    members["status"] = _STATUS[members["status"]]
    for name in _TUPLES & members.keys():
        members[name] = tuple(members[name])
    step_id = keys.step_id(spec["run_id"], spec["position"])
    if form is not None:
        text = _text(form.get("text"), response or b"", step_id)
        members["response"] = StoredBody(text, form["form"], form.get("content_type"))
    if error is not None:
        members["error"] = _error(error)
    asked = dict(spec)
    del asked["position"]
    return Step(
        id=step_id,
        created_at_ms=asked.pop("created_at_ms"),
        awaited=asked.pop("awaited", False),
        spec=load_spec(asked, _text(asked.pop("payload", None), payload, step_id)),
        watches=watches,
        attempt_log=tuple(_attempt(record) for record in attempts),
        **members,
    )


def _text(name: Record | None, in_row: bytes, step_id: str) -> Text:
    is_small = name is None and len(in_row) <= INLINE_MAX_BYTES
    return in_row if is_small else named_text(name, in_row, step_id)


def load_watches(record: Iterable[Sequence[Any]]) -> tuple[Watch, ...]:
    """The watches of a step, from its progress record."""
    return tuple(Watch(*members) for members in record)


def load_spec(record: Record, payload: Text) -> StepSpec:
    """What was requested, from the record of `bare_spec_record`, which it changes."""
    retry = RetryPolicy(**_RETRY.known(record.pop("retry", {})))
    for name in _SPEC_TUPLES & record.keys():
        record[name] = tuple(record[name])
    members = _SPEC.known(record)
    if "flow" in record:
        members = members | {"flow": load_entries(record["flow"])}
    if "singleton" in record:
        members = members | {"singleton": Singleton(*record["singleton"])}
    if "debounce" in record:
        members = members | {"debounce": Debounce(*record["debounce"])}
    if "hooks" in record:
        members = members | {"hooks": load_run_hooks(record["hooks"])}
    return StepSpec(payload=payload, retry=retry, **members)


def _attempt_record(attempt: Attempt) -> Record:
    record = _ATTEMPT.record(attempt)
    if attempt.error is not None:
        record["error"] = _error_record(attempt.error)
    return record


def _attempt(record: Record) -> Attempt:
    members = _ATTEMPT.known(record)
    if (outcome := members.get("outcome")) is not None:
        members = members | {"outcome": _OUTCOME[outcome]}
    if (error := record.get("error")) is not None:
        members = members | {"error": _error(error)}
    return Attempt(**members)


def _rare_members(record: Mapping[str, Any]) -> Record:
    """The members of `_rare_record`."""
    return {name: load(record[name]) for name, load in _LOADS.items() if name in record}


def _cause(record: Record) -> Cause:
    members = _CAUSE.known(record)
    kind = members.get("error_kind")
    return Cause(**members) if kind is None else Cause(**members | {"error_kind": _ERROR_KIND[kind]})


_LOADS: Final[dict[str, Callable[[Any], Any]]] = {
    "pause": lambda record: Pause(**_PAUSE.known(record)),
    "rest": lambda record: Rest(**_REST.known(record)),
    "owes": lambda records: tuple(map(load_owed, records)),
    "cause": _cause,
    "dismissal": lambda record: Dismissal(**_DISMISSAL.known(record)),
}
_RARE: Final = frozenset(_LOADS)


def _error_record(error: StepError) -> Record:
    record = _ERROR.record(error)
    if error.last is not None:
        record["last"] = _error_record(error.last)
    return record


def _error(record: Record) -> StepError:
    members = _ERROR.known(record) | {"kind": _ERROR_KIND[record["kind"]]}
    last = record.get("last")
    return StepError(**members) if last is None else StepError(**members, last=_error(last))
