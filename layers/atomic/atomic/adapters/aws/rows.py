"""Steps as items of the table."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from atomic.adapters.aws import table
from atomic.adapters.aws.packing import deflate, pack_record, pack_text, unpack_record, unpack_text
from atomic.domain.records import load_step, load_watches, progress_record, spec_record
from atomic.domain.steps import Step, StepOutline
from atomic.protocol import keys
from atomic.protocol.enums import Status

Item = dict[str, Any]

# An item has 400 KiB at most (Developer Guide, "Service quotas"); everything but payload, progress and
# response needs less than 10 KB.
_ITEM_MAX_BYTES: Final = 400 * 1024 - 10_000
_PART_MAX_BYTES: Final = 390 * 1024
# For differing clocks and late answers: no row is deleted that may still be read.
GRACE_S: Final = 2 * 24 * 3600
_IN_THE_ITEM: Final = frozenset({"run_id", "position", "created_at_ms", "version"})


@dataclass(frozen=True, slots=True)
class Encoded:
    """A step's item: what is written once, what every write sets (None: removes), and separate items.

    Parts are named by a hash of their content, so a writer that loses a race cannot damage the winner's.
    """

    fixed: Item
    changing: dict[str, dict[str, Any] | None]
    parts: list[Item]

    @property
    def item(self) -> Item:
        """All attributes."""
        return self.fixed | {name: value for name, value in self.changing.items() if value is not None}


def encode(step: Step) -> Encoded:
    """The step as items."""
    progress = pack_record(_without(progress_record(step)))
    response, parts = _response(step, len(progress))
    changing = {
        "v": _number(step.version),
        "g": {"B": progress},
        "ttl": _number(_born_ttl_s(step) if step.has_no_wakeup else ttl_s(step)),
        **response,
        **_index_attributes(step),
    }
    fixed = table.key_of(step.id) | {
        "c": _number(step.created_at_ms),
        "s": {"B": pack_record(_without(spec_record(step)))},
        "p": pack_text(step.spec.payload),
    }
    if step.spec.kind == "event" and not (step.is_root or step.is_settled):
        # Nothing processes it when its run ends. So it has an expiry from the beginning, which maintenance
        # postpones as long as its run is live (`long_runs`).
        del changing["ttl"]
        fixed["ttl"] = _number(_born_ttl_s(step))
    return Encoded(fixed, changing, parts)


def decode(item: Item, response: bytes | None) -> Step:
    """The step of an item and the text of its response."""
    spec, progress = unpack_record(item["s"]["B"]), unpack_record(item["g"]["B"])
    spec |= {"run_id": item["pk"]["S"], "position": item["sk"]["S"], "created_at_ms": int(item["c"]["N"])}
    progress["version"] = int(item["v"]["N"])
    return load_step(spec, unpack_text(item["p"]), progress, response)


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
        spec["kind"] == "http",
        progress.get("due_at_ms"),
        load_watches(progress.get("watches", ())),
    )


def part_keys(item: Item) -> list[Item]:
    """The keys of the parts of the response, if it is stored apart."""
    if "rp" not in item:
        return []
    digest, _, count = item["rp"]["S"].partition("#")
    return [_part_key(item["pk"], item["sk"]["S"], digest, number) for number in range(int(count))]


def ttl_s(step: Step) -> int | None:
    """When DynamoDB may delete the step's item, in epoch seconds."""
    return None if step.expires_at_ms is None else step.expires_at_ms // 1000 + GRACE_S


def _born_ttl_s(step: Step) -> int:
    """The expiry of a live step that may never be processed again; maintenance postpones it."""
    return (step.created_at_ms + step.spec.retention_ms) // 1000 + GRACE_S


def _response(step: Step, progress_bytes: int) -> tuple[dict[str, Any], list[Item]]:
    """The attributes of the response, and its parts when payload and response do not fit into one item."""
    if step.response is None:
        return {"r": None, "rp": None}, []
    packed = pack_text(step.response.text)
    size = len(packed["B"]) if "B" in packed else len(step.response.text)
    if len(step.spec.payload) + size + progress_bytes <= _ITEM_MAX_BYTES:
        return {"r": packed, "rp": None}, []
    text = deflate(step.response.text)
    digest = hashlib.sha256(text).hexdigest()[:32]
    chunks = [text[at : at + _PART_MAX_BYTES] for at in range(0, len(text), _PART_MAX_BYTES)]
    key, ttl = table.key_of(step.id), ttl_s(step)
    # The parts outlive the item that refers to them.
    expiry = {} if ttl is None else {"ttl": _number(ttl + GRACE_S)}
    parts = [
        _part_key(key["pk"], step.position, digest, number) | {"r": {"B": chunk}} | expiry
        for number, chunk in enumerate(chunks)
    ]
    return {"r": None, "rp": {"S": f"{digest}#{len(parts)}"}}, parts


def _part_key(pk: dict[str, Any], position: str, digest: str, number: int) -> Item:
    return {"pk": pk, "sk": {"S": f"~{position}#{digest}#{number}"}}


def _index_attributes(step: Step) -> dict[str, dict[str, Any] | None]:
    spec, shard = step.spec, table.shard_of(step)
    is_failed = step.is_dead_letter
    if not step.is_root and not is_failed:
        return dict.fromkeys(("lp", "fp", "at", "w", "k", "d"))
    due_at_ms = None if step.is_settled else step.due_at_ms
    return {
        "lp": {"S": f"{spec.client_id}#{step.status.value}#{shard}"} if step.is_root else None,
        "fp": {"S": f"{spec.client_id}#{shard}"} if is_failed else None,
        "at": {"S": table.age(step.created_at_ms, step.id)},
        "w": {"S": spec.workflow_name},
        "k": {"S": spec.idempotency_key},
        "d": _number(due_at_ms),
    }


def _number(value: int | None) -> dict[str, Any] | None:
    return None if value is None else {"N": str(value)}


def _without(record: dict[str, Any]) -> dict[str, Any]:
    """The record without the fields that the item has as attributes."""
    return {name: value for name, value in record.items() if name not in _IN_THE_ITEM}
