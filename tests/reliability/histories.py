"""Linearizable histories of one key, and planted ones that are not."""

from typing import Final

from reliability.linearizability import (
    ABSENT,
    ATTACHED,
    CANCELLED,
    ENDED,
    LIVE,
    MISMATCH,
    NEVER,
    REPLAYED,
    Operation,
)

History = list[Operation]


def post(begin: float, end: float, result: str | None = ATTACHED, payload: str = "p") -> Operation:
    """The first half of a start: create or attach."""
    return Operation(kind="post", argument=payload, result=result, begin=begin, end=end)


def read(begin: float, end: float, result: str | None, after: int | None = None) -> Operation:
    """A read of the step, or the second half of a start."""
    return Operation(kind="read", result=result, begin=begin, end=end, after=after)


def cancel(begin: float, end: float, result: str | None) -> Operation:
    """A cancel."""
    return Operation(kind="cancel", result=result, begin=begin, end=end)


def answer(begin: float, outcome: str = "p:1") -> Operation:
    """The endpoint answers."""
    return Operation(kind="answer", argument=outcome, begin=begin)


def pending(operation: Operation) -> Operation:
    """The same operation, whose caller disconnected before the answer."""
    return Operation(
        kind=operation.kind, argument=operation.argument, begin=operation.begin, after=operation.after
    )


GOOD: Final[dict[str, History]] = {
    "nothing": [],
    "start and outcome": [post(0, 9), answer(2), read(0, 9, "p:1", after=0)],
    "attach": [post(0, 9), post(1, 8), answer(2), read(0, 9, "p:1", after=0), read(1, 8, "p:1", after=1)],
    "replay": [post(0, 3), answer(1), read(0, 3, "p:1", after=0), post(4, 5, REPLAYED), read(4, 5, "p:1")],
    "looked for before, while and after": [
        read(0, 1, ABSENT), post(2, 9), read(3, 4, LIVE), answer(5), read(6, 7, "p:1"),
    ],
    "a look that overlaps sees either": [post(0, 9), read(1, 8, ABSENT), read(1, 8, LIVE)],
    "cancel wins, the answer is late": [
        post(0, 9), answer(2), cancel(3, 4, CANCELLED), read(0, 9, CANCELLED, after=0),
        read(10, 11, CANCELLED),
    ],
    "the answer wins, cancel is late": [post(0, 9), answer(2), cancel(3, 4, ENDED), read(10, 11, "p:1")],
    "cancel of nothing": [cancel(0, 1, ABSENT), post(2, 3), read(4, 5, LIVE)],
    "the other payload came second": [
        post(0, 9), post(0, 9, MISMATCH, "q"), answer(3), read(10, 11, "p:1"),
    ],
    "a pending start took effect": [pending(post(0, 1)), read(5, 6, LIVE), answer(5), read(7, 8, "p:1")],
    "a pending start took effect late": [pending(post(0, 1)), read(5, 6, ABSENT), read(7, 8, LIVE)],
    "a pending start never did": [pending(post(0, 1)), read(5, 6, ABSENT)],
    "a pending cancel": [post(0, 1), pending(cancel(2, 3, None)), read(4, 5, LIVE), read(6, 7, CANCELLED)],
    "a pending other payload won": [pending(post(0, 1, None, "q")), post(2, 3, MISMATCH)],
    "a second attempt's answer": [post(0, 9), answer(1, "p:1"), answer(5, "p:2"), read(10, 11, "p:2")],
    "timeout, then the outcome": [
        post(0, 2), read(0, 2, LIVE, after=0), answer(3), post(4, 6, ATTACHED), read(4, 6, "p:1", after=3),
    ],
}  # fmt: skip

_DONE: Final = [post(0, 3), answer(1), read(0, 3, "p:1", after=0)]
_LIVE: Final = [post(0, 1)]
_GONE: Final = [post(0, 1), cancel(2, 3, CANCELLED)]

BAD: Final[dict[str, History]] = {
    "an outcome that nobody answered": [post(0, 9), read(0, 9, "p:1", after=0)],
    "an outcome before its answer": [post(0, 9), read(1, 2, "p:1"), answer(3)],
    "an outcome of another call": [post(0, 9), answer(2, "p:1"), read(5, 9, "p:2")],
    "an outcome that changes": [
        post(0, 9), answer(1, "p:1"), answer(1, "p:2"), read(10, 11, "p:1"), read(12, 13, "p:2"),
    ],
    "an outcome that two see differently": [
        post(0, 9), post(0, 9), answer(1, "p:1"), answer(1, "p:2"), read(0, 9, "p:1", after=0),
        read(0, 9, "p:2", after=1),
    ],
    "an outcome that goes back to live": [*_DONE, read(4, 5, LIVE)],
    "an outcome that is forgotten": [*_DONE, read(4, 5, ABSENT)],
    "a lost start": [*_LIVE, read(2, 3, ABSENT)],
    "a lost start that a cancel misses": [*_LIVE, cancel(2, 3, ABSENT)],
    "a start that begins anew": [*_DONE, post(4, 5, ATTACHED)],
    "a replay of what is not done": [*_LIVE, post(2, 3, REPLAYED)],
    "a replay of nothing": [post(0, 1, REPLAYED)],
    "another payload is taken": [*_LIVE, post(2, 3, ATTACHED, "q")],
    "another payload replays": [*_DONE, post(4, 5, REPLAYED, "q")],
    "both payloads are refused": [post(0, 9, MISMATCH), post(0, 9, MISMATCH, "q")],
    "the same payload is refused": [*_LIVE, post(2, 3, MISMATCH)],
    "an answer to the other payload": [*_LIVE, answer(2, "q:1"), read(3, 4, "q:1")],
    "a cancelled step lives on": [*_GONE, read(4, 5, LIVE)],
    "a late answer undoes a cancel": [*_GONE, answer(4), read(5, 6, "p:1")],
    "a cancel undoes an outcome": [*_DONE, cancel(4, 5, CANCELLED)],
    "cancel and outcome both win": [
        post(0, 9), answer(1), cancel(2, 3, CANCELLED), read(0, 9, "p:1", after=0), read(10, 11, "p:1"),
    ],
    "a cancel that comes too late for no outcome": [*_LIVE, cancel(2, 3, ENDED)],
    "a cancel that did nothing": [*_LIVE, cancel(2, 3, LIVE), read(4, 5, LIVE)],
    "cancelled by nobody": [*_LIVE, read(2, 3, CANCELLED)],
    "seen before it was posted": [read(0, 1, LIVE), post(2, 3)],
    "seen, then not there": [post(0, 9), read(1, 2, LIVE), read(3, 4, ABSENT)],
    "a pending start that comes and goes": [pending(post(0, 1)), read(2, 3, LIVE), read(4, 5, ABSENT)],
    "a pending cancel that comes and goes": [
        *_LIVE, pending(cancel(2, 3, None)), read(4, 5, CANCELLED), read(6, 7, LIVE),
    ],
    "its own read comes before the post": [
        post(0, 9), read(0, 9, ABSENT, after=0),
    ],
}  # fmt: skip
assert all(
    operation.end == NEVER for history in BAD.values() for operation in history if operation.result is None
)
