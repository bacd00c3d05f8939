"""Where two JSON values differ, as text that fits into a message."""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson

from atomic.protocol.strict_json import canonical_json

_SHORT_CHARS: Final = 40
_ABSENT: Final = object()


class Difference(NamedTuple):
    """The first path that differs (`payload.items[0].price`), with the beginnings of both values."""

    path: str
    first: str
    now: str


def first_difference(first: Any, now: Any, path: str = "payload") -> Difference | None:
    """The first difference in the order of canonical JSON; None when there is none. 1 and 1.0 are equal."""
    if _is_same(first, now):
        return None
    while inner := next((pair for pair in _pairs(first, now) if not _is_same(pair[1], pair[2])), None):
        index, first, now = inner
        path += f".{index}" if isinstance(index, str) else f"[{index}]"
    return Difference(path, _short(first), _short(now))


def _pairs(first: Any, now: Any) -> Iterable[tuple[str | int, Any, Any]]:
    """The new and the old value at each path; nothing unless both are objects or both are lists."""
    if isinstance(first, dict) and isinstance(now, dict):
        names = sorted({*first, *now})
        return ((name, first.get(name, _ABSENT), now.get(name, _ABSENT)) for name in names)
    if isinstance(first, list) and isinstance(now, list):
        indexes = range(max(len(first), len(now)))
        return ((index, _item(first, index), _item(now, index)) for index in indexes)
    return ()


def _is_same(first: Any, now: Any) -> bool:
    if isinstance(first, (dict, list)) and isinstance(now, (dict, list)):
        # Most values have the same text, and comparing texts is a tenth of the work.
        return _text(first) == _text(now) or canonical_json(first) == canonical_json(now)
    return bool(first == now) and isinstance(first, bool) is isinstance(now, bool)


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else _ABSENT


def _short(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORT_CHARS else f"{text[: _SHORT_CHARS - 1]}…"
