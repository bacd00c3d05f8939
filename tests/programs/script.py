"""Who answers the events of a program, and when: their names tell."""

from typing import Final

DAY_S: Final = 24 * 3600
# Seconds between the opening of an event and its answer.
ANSWERED_AFTER_S: Final = {"now": 0.0, "soon": 2.0, "late": 3.0 * DAY_S, "missed": 1.0 * DAY_S}
# The answer comes when somebody is asked for it, and to `never` it never comes.
ASKED: Final = "asked"
# Every deadline of a `missed` event is shorter than this, and every other one longer than `LONGEST_S`.
LONGEST_S: Final = 4.0 * DAY_S


def answer_of(name: str) -> str:
    """What the event of a name is answered with."""
    return f"answer to {name}"


def is_answered(name: str) -> bool:
    """Whether it is answered within every deadline that a program gives."""
    return name in {"now", "soon", "late", ASKED}
