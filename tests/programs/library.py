"""The library of the random programs: steps, context managers that call steps, and readers of failures.

A program imports all of it by `from programs.library import *`.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from atomic.sdk import (
    Call,
    ConditionNotMetError,
    EventRejectedError,
    NonRetryable,
    RetryAfter,
    SagaFailedError,
    StepFailedError,
)
from programs.ledger import once

__all__ = [
    "ConditionNotMetError",
    "Decimal",
    "EventRejectedError",
    "NonRetryable",
    "Point",
    "StepFailedError",
    "add",
    "answer",
    "answer_async",
    "ask",
    "asyncio",
    "book",
    "broken",
    "charge",
    "count",
    "counted",
    "datetime",
    "double",
    "ended",
    "enough",
    "grow",
    "hear",
    "held",
    "held_async",
    "held_up",
    "hide",
    "invite",
    "label",
    "maybe",
    "met",
    "move",
    "never",
    "newest",
    "note",
    "odd",
    "one_of",
    "perhaps",
    "perhaps_book",
    "perhaps_unbook",
    "price",
    "reason",
    "refuse",
    "roll",
    "shaky",
    "shout",
    "shown",
    "told",
    "tomorrow",
    "total",
    "twice",
    "twice_async",
    "unbook",
    "undone",
    "upper",
]


@dataclass(frozen=True, slots=True)
class Point:
    """A payload and result that is a model instead of plain JSON."""

    x: int
    tags: tuple[str, ...] = ()


# Steps. The effect of a step runs inside `once`: once for each key, as with `atomic.sdk.idempotent`.


def note(n: int, call: Call) -> int:
    return once(call, n, lambda: n)


def add(n: int, call: Call) -> int:
    return once(call, n, lambda: n + 1)


async def double(n: int, call: Call) -> int:
    return once(call, n, lambda: 2 * n)


def total(numbers: list[int], call: Call) -> int:
    return once(call, numbers, lambda: sum(numbers))


def label(words: set[str], call: Call) -> int:
    return once(call, sorted(words), lambda: len(words))


def shout(words: set[str], call: Call) -> set[str]:
    return once(call, sorted(words), lambda: {word.upper() for word in words})


def grow(counts: dict[str, int], call: Call) -> dict[str, int]:
    return once(call, counts, lambda: {name: count + 1 for name, count in counts.items()})


def price(amount: Decimal, call: Call) -> Decimal:
    return once(call, str(amount), lambda: amount + Decimal("0.10"))


def tomorrow(moment: datetime, call: Call) -> datetime:
    return once(call, moment.isoformat(), lambda: moment + timedelta(days=1))


def move(point: Point, call: Call) -> Point:
    return once(call, [point.x, *point.tags], lambda: Point(point.x + 1, ("moved", *point.tags)))


def ask(event_id: str, call: Call) -> str:
    """Request an answer to the event."""
    return once(call, "", lambda: "asked", asks=event_id)


def invite(url: str, call: Call) -> str:
    """Request an answer to the callback URL."""
    return once(call, "", lambda: "invited", asks=url)


def charge(order: dict[str, Any], call: Call) -> str:
    """Like `invite`, with more than the URL."""
    return once(call, order["amount"], lambda: "charged", asks=order["url"])


def hear(url: str, call: Call) -> str:
    """Does not pass on the callback URL."""
    return once(call, "", lambda: "heard")


def book(what: list[Any], call: Call) -> int:
    """A call of a saga. Its payload begins with the names of the saga and of the call in the program."""
    return once(call, what, lambda: len(what))


def unbook(what: list[Any], call: Call) -> str:
    """Undoes `book`."""
    return once(call, what, lambda: "undone")


def perhaps_book(what: list[Any], call: Call) -> str:
    """Runs concurrently with a failing step, so it may be called or not. If it is, it must be undone.

    It ends later than that step, as a rule.
    """
    if call.attempt == 1:
        raise RetryAfter(0.5, "busy")
    return once(call, what, lambda: "booked")


def perhaps_unbook(what: list[Any], call: Call) -> str:
    """Undoes `perhaps_book`."""
    return once(call, what, lambda: "undone")


def shaky(n: int, call: Call) -> int:
    """Succeeds at its third attempt."""
    if call.attempt == 1:
        raise RetryAfter(0.5, "busy")
    if call.attempt == 2:
        raise ConnectionError("away")
    return once(call, n, lambda: n + 3)


def odd(n: int, call: Call) -> int:
    """Fails for an even number."""
    if n % 2 == 0:
        raise NonRetryable(f"boom-{n}")
    return once(call, n, lambda: n)


def upper(word: str, call: Call) -> str:
    return once(call, word, word.upper)


def count(seen: int, call: Call) -> tuple[bool, int]:
    """A check that is a step: the condition is met when 2 are seen."""
    return once(call, seen, lambda: (seen >= 2, seen + 1))


def refuse(n: int) -> int:
    raise NonRetryable(f"boom-{n}")


def broken(n: int) -> int:
    raise ValueError(f"boom-{n}")


def maybe(n: int, call: Call) -> int:
    """Runs concurrently with a failing step. It may be called or not, so its effects are not compared."""
    return n


def perhaps(word: str, call: Call) -> str:
    """Like `maybe`."""
    return word


def hide(drawn: object, call: Call) -> str:
    """A payload of chance: a replay that sends another one is refused. So its effects are not compared."""
    return once(call, "", lambda: "hidden")


# What values are computed by.


def answer(n: int) -> int:
    return n + 40


async def answer_async(n: int) -> int:
    await asyncio.sleep(0)
    return n + 40


def roll() -> float:
    """Another number at each call, so that a replay which computes again is found."""
    return random.random()


# Checks of `until` that are values.


def counted(seen: int) -> list[object]:
    return [seen >= 1, seen + 1]


def never() -> int:
    return 0


def newest() -> int:
    """Another version in each process: a run keeps the one that it was given."""
    return random.randint(1, 3)


STEPS: Final = (
    *(note, add, double, total, label, shout, upper, grow, price, tomorrow, move, ask),
    *(odd, count, shaky, refuse, broken, maybe, perhaps, hide),
    *(invite, charge, hear, book, unbook, perhaps_book, perhaps_unbook),
)


# Branches that call steps, and context managers that call a step at their end.


def twice(ctx: Any, n: int) -> Any:
    return ctx.step(odd, ctx.step(add, n))


async def twice_async(ctx: Any, n: int) -> Any:
    return await ctx.step(odd, await ctx.step(add, n))


def held_up(ctx: Any) -> None:
    """Another call of the handler is needed."""
    if ctx.attempt == 1:
        raise RetryAfter(0.5)


@contextmanager
def held(ctx: Any, n: int) -> Iterator[int]:
    ctx.step(note, n)
    try:
        yield n
    finally:
        ctx.step(note, -n)


@asynccontextmanager
async def held_async(ctx: Any, n: int) -> AsyncIterator[int]:
    await ctx.step(note, n)
    try:
        yield n
    finally:
        await ctx.step(note, -n)


# How a failure is described.

_WHY: Final = re.compile(r"boom-\d+")


def reason(error: BaseException) -> str:
    """The root cause of a failure, the same in one process and across any number of steps."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(sorted(reason(inner) for inner in error.exceptions))
    said = f"{error} {json.dumps(error.response)}" if isinstance(error, StepFailedError) else str(error)
    return said_in(said) or f"{type(error).__name__}: {said}"


def said_in(text: str) -> str | None:
    """The last such reason in a text."""
    return (_WHY.findall(text) or [None])[-1]


def shown(outcome: Any) -> Any:
    """An outcome as JSON, with its type: an exception of `gather(return_exceptions=True)`, or a result."""
    match outcome:
        case BaseException():
            return f"failed: {reason(outcome)}"
        case set():
            return ["set", *sorted(outcome)]
        case Point(x, tags):
            return ["Point", x, type(tags).__name__, *tags]
        case Decimal() | datetime() | UUID():
            return f"{outcome!r}"
    return outcome


def undone(error: Exception) -> list[Any]:
    """Why the block of a saga ended, and which undos failed."""
    if isinstance(error, SagaFailedError):
        return [said_in(error.because), *map(reason, error.errors)]
    return [reason(error)]


# How a batch and a race are described.


def told(batch: Any) -> list[Any]:
    """All about a batch."""
    return [batch.ended_by, len(batch), batch.counts, *([item.index, *ended(item)] for item in batch)]


def ended(item: Any) -> list[Any]:
    """The outcome of an item."""
    return [item.status, shown(item.result if item.error is None else item.error)]


def enough(batch: Any, succeeded: int, failed: int) -> list[Any]:
    """Why a batch ended, if that does not depend on the order in which its items ended."""
    return [batch.ended_by, len(batch.succeeded) >= succeeded, len(batch.failed) >= failed]


def met(batch: Any, items: Any) -> list[Any]:
    """The outcomes by item, for items whose order differs in each process."""
    return sorted([item, *ended(outcome)] for item, outcome in zip(items, batch, strict=True))


def one_of(won: tuple[str, Any], allowed: dict[str, Any]) -> Any:
    """Whether a race was won by one of these, with its result."""
    name, result = won
    return "one of them" if name in allowed and allowed[name] == result else [name, shown(result)]
