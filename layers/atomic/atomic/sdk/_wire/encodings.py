"""Requests whose value may have been encoded by an older key: they are sent with each encoding in turn.

Atomic compares what is posted with what is stored. A value that was encoded before a rotation of keys has
another encoding now. So a request that is refused for a difference is sent again with older encodings. A
refused request has changed nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from atomic.sdk._wire.transport import Flow
from atomic.sdk.errors import PayloadMismatchError, RefusedError

T = TypeVar("T")
Encoding = TypeVar("Encoding")


@dataclass(frozen=True, slots=True)
class Encodings:
    """The encodings of one value: the newest one, and those by older keys, which are made when needed."""

    newest: Any
    older: Iterable[Any] = ()

    def __iter__(self) -> Iterator[Any]:
        yield self.newest
        yield from self.older


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """What a function makes, each time when it is gone through."""

    make: Callable[[], Iterable[T]]

    def __iter__(self) -> Iterator[T]:
        return iter(self.make())


def first_accepted(
    encodings: Iterable[Encoding],
    flow_of: Callable[[Encoding], Flow[T]],
    refusal: type[RefusedError] = PayloadMismatchError,
) -> Flow[T]:
    """Send the request with one encoding after the other, the newest first, until one is not refused.

    Raises the refusal of the newest one when all are refused.
    """
    first: RefusedError | None = None
    for encoding in encodings:
        try:
            return (yield from flow_of(encoding))
        except refusal as error:
            first = first or error
    raise first or LookupError("There is nothing to send.")
