"""Checks whether the history of one key is linearizable.

It is if there is an order of the operations, each at a moment between its call and its answer, in which
every answer is right. The search is that of Wing and Gong, with Lowe's cache of visited states. An
operation without an answer may have taken effect at any moment after its call, or never.

`Key` is the sequential specification. A waiting start is two operations: `post` creates or attaches, and
the `read` after it sees the outcome. The endpoint's answer is also an operation, whose result no client
sees: it settles the step, or is too late.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["post", "read", "cancel", "answer"]
NEVER: Final = float("inf")

ABSENT: Final = "absent"
LIVE: Final = "live"
CANCELLED: Final = "cancelled"
MISMATCH: Final = "mismatch"
ATTACHED: Final = "attached"
REPLAYED: Final = "replayed"
ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class Key:
    """The state of one key: absent, live, cancelled or the outcome; and the payload that created it."""

    status: str = ABSENT
    payload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`argument` is the payload of a post or the outcome of an answer. `result` is None if unknown.

    A post results in `attached` (the step was absent or live), `replayed` (it had an outcome) or
    `mismatch`; a read in the status; a cancel in `absent`, `cancelled` or, with any outcome, `ended`.
    `after` is the index of an operation of the history that must come first, whatever the clock says.
    """

    kind: Kind
    argument: str = ""
    result: str | None = None
    begin: float
    end: float = NEVER
    after: int | None = None


def step(key: Key, operation: Operation) -> Key | None:
    """The key after the operation, or None when the operation cannot have this result now."""
    result: str | None
    match operation.kind:
        case "post":
            after, result = _post(key, operation.argument)
        case "cancel":
            after = Key(CANCELLED, key.payload) if key.status == LIVE else key
            result = after.status if after.status in {ABSENT, CANCELLED} else ENDED
        case "read":
            after, result = key, key.status
        case "answer":
            after, result = _answer(key, operation.argument), None
    return after if operation.result in {None, result} else None


def _post(key: Key, payload: str) -> tuple[Key, str]:
    if key.status == ABSENT:
        return Key(LIVE, payload), ATTACHED
    if key.payload != payload:
        return key, MISMATCH
    return key, ATTACHED if key.status == LIVE else REPLAYED


def _answer(key: Key, outcome: str) -> Key:
    """The first answer while the step is live is its outcome, unless it answers another payload."""
    answers_it = key.status == LIVE and outcome.startswith(f"{key.payload}:")
    return Key(outcome, key.payload) if answers_it else key


def is_linearizable(history: Sequence[Operation]) -> bool:
    """Whether the history of one key, which is absent at first, is linearizable."""
    needed = sum(
        1 << position for position, operation in enumerate(history) if operation.result is not None
    )
    seen: set[tuple[int, Key]] = set()
    left = [(0, Key())]
    while left:
        done, key = left.pop()
        if done & needed == needed:
            return True
        for position in _next(history, done):
            after = step(key, history[position])
            found = None if after is None else (done | 1 << position, after)
            if found is not None and found not in seen:
                seen.add(found)
                left.append(found)
    return False


def _next(history: Sequence[Operation], done: int) -> list[int]:
    """The operations that can come next: those that began before the end of every remaining one."""
    left = [position for position in range(len(history)) if not done >> position & 1]
    first_end = min((history[position].end for position in left), default=NEVER)
    return [
        position
        for position in left
        if history[position].begin <= first_end
        and (history[position].after is None or done >> (history[position].after or 0) & 1)
    ]
