"""Steps as items of the table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from atomic.adapters.aws import table
from atomic.adapters.aws.packing import pack_record, pack_text, unpack_record, unpack_text
from atomic.domain.blobs import Blob, Text, row_text
from atomic.domain.counters import Tally, tally_of_run
from atomic.domain.outlines import StepOutline
from atomic.domain.records import load_step, load_watches, progress_record, spec_record
from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.protocol.enums import Status

Item = dict[str, Any]

# For differing clocks and late answers: no row is deleted that may still be read.
GRACE_S: Final = 2 * 24 * 3600
_DAY_S: Final = 24 * 3600
_IN_THE_ITEM: Final = frozenset({"run_id", "position", "created_at_ms", "version"})


@dataclass(frozen=True, slots=True)
class Encoded:
    """A step's item: what is written once, and what every write sets (None: removes)."""

    fixed: Item
    changing: dict[str, dict[str, Any] | None]

    @property
    def item(self) -> Item:
        """All attributes."""
        return self.fixed | {name: value for name, value in self.changing.items() if value is not None}


def encode(step: Step) -> Encoded:
    """The step as an item. Raises ValueError for a large text that is not stored."""
    changing = {
        "v": _number(step.version),
        "g": {"B": pack_record(_without(progress_record(step)))},
        "ttl": _number(_born_ttl_s(step) if step.has_no_wakeup else ttl_s(step)),
        "r": None if step.response is None else _packed(step.response.text, step.id),
        "x": _kept_until(step),
        **_index_attributes(step),
    }
    fixed = table.key_of(step.id) | {
        "c": _number(step.created_at_ms),
        "s": {"B": pack_record(_without(spec_record(step)))},
        "p": _packed(step.spec.payload, step.id) or {"S": ""},
    }
    if step.is_root and step.spec.tags:
        fixed["y"] = {"N": str(tags_until_s(step))}
    if step.spec.kind == "event" and not (step.is_root or step.is_settled):
        # Nothing processes it when its run ends. So it has an expiry from the beginning, which maintenance
        # postpones as long as its run is live (`long_runs`).
        del changing["ttl"]
        fixed["ttl"] = _number(_born_ttl_s(step))
    return Encoded(fixed, changing)


def decode(item: Item) -> Step:
    """The step of an item."""
    spec, progress = unpack_record(item["s"]["B"]), unpack_record(item["g"]["B"])
    spec |= {"run_id": item["pk"]["S"], "position": item["sk"]["S"], "created_at_ms": int(item["c"]["N"])}
    progress["version"] = int(item["v"]["N"])
    response = unpack_text(item["r"]) if "r" in item else None
    return load_step(spec, unpack_text(item["p"]), progress, response)


def is_step(item: Item | None) -> TypeGuard[Item]:
    """Whether there is an item, and it is not what is left of a run that is being erased."""
    return item is not None and "s" in item


def decode_outline(item: Item) -> StepOutline:
    """The outline of a step, from an item without payload and response."""
    spec, progress = unpack_record(item["s"]["B"]), unpack_record(item["g"]["B"])
    step_id = keys.step_id(item["pk"]["S"], item["sk"]["S"])
    return StepOutline(
        step_id,
        spec.get("parent"),
        Status(progress["status"]),
        progress.get("finished_at_ms"),
        progress.get("attempt_count", 0),
        spec.get("awaited", False) or "waiters" in progress,
        spec["kind"],
        progress.get("due_at_ms"),
        load_watches(progress.get("watches", ())),
        progress.get("in_line", False),
        _retries(progress),
        int(item["v"]["N"]),
    )


def _retries(progress: Mapping[str, Any]) -> int:
    retries: int = progress.get("retries_used", 0) + progress.get("retries_before", 0)
    return retries


def tally_of(items: Iterable[Item], created_ms: int) -> Tally | None:
    """What counters have of a run, from its items without payloads and responses.

    None when they have no root that began at this moment.
    """
    root: Item | None = None
    retries = 0
    for item in items:
        progress = unpack_record(item["g"]["B"])
        retries += _retries(progress)
        if item["sk"]["S"] == keys.ROOT and int(item["c"]["N"]) == created_ms:
            root = progress
    if root is None:
        return None
    return tally_of_run(Status(root["status"]), created_ms, root.get("finished_at_ms"), retries)


def is_at_rest(item: Item) -> bool:
    """Whether the step of an item has succeeded and concerns nobody, so that a wake-up has no use."""
    progress = unpack_record(item["g"]["B"])
    concerns = progress.keys() & {"waiters", "watches", "cancel_by_ms", "owes"}
    if progress["status"] != Status.SUCCEEDED or concerns:
        return False
    # The process that made its attempt may have ended before it gave back the slots.
    return "flow" not in unpack_record(item["s"]["B"])


def ttl_s(step: Step) -> int | None:
    """When DynamoDB may delete the step's item, in epoch seconds; None while it owes something."""
    return None if step.expires_at_ms is None or step.owes else step.expires_at_ms // 1000 + GRACE_S


def _born_ttl_s(step: Step) -> int:
    """The expiry of a live step that may never be processed again; maintenance postpones it."""
    return (step.created_at_ms + step.spec.retention_ms) // 1000 + GRACE_S


def tags_until_s(root: Step) -> int:
    """Until when a root is found by its tags, in epoch seconds, unless its run takes more than a day.

    The rows of a longer run are kept on, and its tags with them (`long_runs`).
    """
    return (root.created_at_ms + root.spec.retention_ms) // 1000 + _DAY_S + GRACE_S


def blobs_of(step: Step) -> list[Blob]:
    """The large texts that the row of the step names."""
    texts = [step.spec.payload, *([step.response.text] if step.response else [])]
    return [text for text in texts if isinstance(text, Blob) and text.place != "row"]


def _packed(text: Text, step_id: str) -> dict[str, Any] | None:
    in_row = text if isinstance(text, bytes) else row_text(text, step_id)
    return None if in_row is None else pack_text(in_row)


def _kept_until(step: Step) -> dict[str, Any] | None:
    """When the first of the step's large texts may be deleted."""
    return _number(min((blob.until_ms // 1000 for blob in blobs_of(step)), default=None))


def _index_attributes(step: Step) -> dict[str, dict[str, Any] | None]:
    spec, shard = step.spec, table.shard_of(step)
    is_failed = step.is_dead_letter
    if not step.is_root and not is_failed:
        return dict.fromkeys(("lp", "fp", "at", "w", "k", "d", "e"))
    is_inline = table.is_begun_inline(step)
    status = Status.SUCCEEDED if is_inline else step.status
    if step.owes and step.is_settled:
        # Maintenance goes through the live roots, and through the dead letters.
        status = Status.RUNNING
    due_at_ms = None if is_inline else step.found_due_ms
    return {
        "lp": {"S": table.list_partition(step, status)} if step.is_root else None,
        "fp": {"S": f"{spec.client_id}#{shard}"} if is_failed else None,
        "at": {"S": table.age(step.created_at_ms, step.id)},
        "w": {"S": spec.workflow_name},
        "k": {"S": spec.idempotency_key},
        "d": _number(due_at_ms),
        "e": _mark(step),
    }


def _mark(step: Step) -> dict[str, Any] | None:
    if step.cause is None:
        return None
    return {"S": table.mark_of(step.cause.id, dismissed=step.dismissal is not None)}


def _number(value: int | None) -> dict[str, Any] | None:
    return None if value is None else {"N": str(value)}


def _without(record: dict[str, Any]) -> dict[str, Any]:
    """The record without the fields that the item has as attributes."""
    return {name: value for name, value in record.items() if name not in _IN_THE_ITEM}
