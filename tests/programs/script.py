"""What the world tells the events of a program, and when: both depend on the event's name and number."""

from typing import Final

DAY_S: Final = 24 * 3600
# These are told when they have expired.
MISSED: Final = "missed"
# Seconds from the opening of an event to its answer.
ANSWERED_AFTER_S: Final = {"now": 0.0, "soon": 2.0, "late": 3.0 * DAY_S, MISSED: 1.0 * DAY_S}
# These are answered when a step requests it; `never` is never answered.
ASKED: Final = "asked"
# Callbacks: these are answered by their URL when a step requests it; `lost` is never answered.
CALLED_BACK: Final = frozenset({"paid", "denied"})
# These are told at random moments, by name and number, also before they are opened and before the run.
TOLD: Final = frozenset({"vote", "veto"})
# Messages: each is told to the next event of its name, in order, at random moments.
MESSAGES: Final = frozenset({"mail"})
REJECTED: Final = {"veto": "boom-101", "denied": "boom-102"}
# Deadlines of `missed` events are shorter than this; all others are longer than `LONGEST_S`.
# How long a workflow lasts that loses a race: longer than the race, if nobody is late for days.
LASTS_S: Final = 3 * DAY_S
LONGEST_S: Final = 4.0 * DAY_S


def answer_of(name: str, number: int = 1) -> str:
    """The result of an event."""
    return f"{name} {number}" if name in TOLD | MESSAGES else f"answer to {name}"


def is_answered(name: str) -> bool:
    """Whether the event has its result before every deadline that a program sets."""
    return name in {"now", "soon", "late", ASKED} | CALLED_BACK | TOLD | MESSAGES
