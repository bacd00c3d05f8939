"""When the events of a program are answered, and how: both depend on the event's name."""

from typing import Final

DAY_S: Final = 24 * 3600
# Seconds from the opening of an event to its answer.
ANSWERED_AFTER_S: Final = {"now": 0.0, "soon": 2.0, "late": 3.0 * DAY_S, "missed": 1.0 * DAY_S}
# These are answered when a step requests it; `never` is never answered.
ASKED: Final = "asked"
# Deadlines of `missed` events are shorter than this; all others are longer than `LONGEST_S`.
LONGEST_S: Final = 4.0 * DAY_S


def answer_of(name: str) -> str:
    """The answer to the event of a name."""
    return f"answer to {name}"


def is_answered(name: str) -> bool:
    """Whether the event is answered before every deadline that a program sets."""
    return name in {"now", "soon", "late", ASKED}
