"""Where two JSON values differ, in words that fit into a message."""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

_SHORT_CHARS: Final = 40
_ABSENT: Final = object()


class Difference(NamedTuple):
    """The first place (`payload.items[0].price`), and the beginnings of what stood and stands there."""

    path: str
    first: str
    now: str


def first_difference(first: Any, now: Any, path: str = "payload") -> Difference | None:
    """The first difference in the order of canonical JSON; None when there is none. 1 and 1.0 are equal."""
    pairs: Iterable[tuple[str, Any, Any]]
    if isinstance(first, dict) and isinstance(now, dict):
        names = sorted({*first, *now})
        pairs = ((f".{name}", first.get(name, _ABSENT), now.get(name, _ABSENT)) for name in names)
    elif isinstance(first, list) and isinstance(now, list):
        places = range(max(len(first), len(now)))
        pairs = ((f"[{place}]", _item(first, place), _item(now, place)) for place in places)
    else:
        is_equal = first == now and isinstance(first, bool) is isinstance(now, bool)
        return None if is_equal else Difference(path, _short(first), _short(now))
    for step, mine, theirs in pairs:
        found = first_difference(mine, theirs, path + step)
        if found is not None:
            return found
    return None


def _item(items: list[Any], place: int) -> Any:
    return items[place] if place < len(items) else _ABSENT


def _short(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORT_CHARS else f"{text[: _SHORT_CHARS - 1]}…"
