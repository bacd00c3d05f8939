"""Batches: calls side by side under a policy, and their outcomes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar, get_args

from atomic.sdk._api import Key, check_options, key_text
from atomic.sdk.errors import InvalidRequestError

T = TypeVar("T")
ItemStatus = Literal["succeeded", "failed", "started", "not_started"]
EndedBy = Literal["all_completed", "min_successful", "failures_exceeded"]

# The record of an early end has a letter for each item; 256 KiB is the limit of a value.
ITEMS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem(Generic[T]):
    """The outcome of one item of a batch.

    - `index`: its place among the items, from 0.
    - `status`: "succeeded", "failed", "started" (not ended when the batch ended) or "not_started".
    - `result`: the result of an item that has succeeded, else None.
    - `error`: the error of an item that has failed, else None.
    """

    index: int
    status: ItemStatus
    result: T | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[T]):
    """The outcome of a batch. `len`, an index and a loop give its items, in order.

    - `items`: the items.
    - `ended_by`: why the batch ended: "all_completed", "min_successful" (enough items have succeeded) or
      "failures_exceeded" (more items have failed than `tolerated_failures`).
    """

    items: tuple[BatchItem[T], ...]
    ended_by: EndedBy

    @property
    def succeeded(self) -> tuple[BatchItem[T], ...]:
        """The items that have succeeded."""
        return self._of("succeeded")

    @property
    def failed(self) -> tuple[BatchItem[T], ...]:
        """The items that have failed."""
        return self._of("failed")

    @property
    def counts(self) -> dict[ItemStatus, int]:
        """The number of items with each status."""
        return {status: len(self._of(status)) for status in get_args(ItemStatus)}

    def results(self) -> list[T]:
        """The results of the items that have succeeded, in order.

        Raises the error of the first item that has failed.
        """
        for item in self.failed:
            assert item.error is not None, "an item that has failed has an error"
            raise item.error
        results: list[Any] = [item.result for item in self.succeeded]
        return results

    def __getitem__(self, index: int) -> BatchItem[T]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[BatchItem[T]]:
        return iter(self.items)

    def _of(self, status: ItemStatus) -> tuple[BatchItem[T], ...]:
        return tuple(item for item in self.items if item.status == status)


class PolicyOptions(TypedDict, total=False):
    """When a batch starts its items, and when it ends early; see `BatchPolicy`."""

    concurrency: int | None
    min_successful: int | None
    tolerated_failures: int | None


EMPTY: Final[Batch[Any]] = Batch(items=(), ended_by="all_completed")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How many items may be unfinished at a time, and when the batch ends before all items have ended.

    - `concurrency`: the largest number of unfinished items (None: no limit).
    - `min_successful`: end when this many items have succeeded (None: when all have ended).
    - `tolerated_failures`: end when more items than this have failed (None: failures do not end it).
    """

    concurrency: int | None = None
    min_successful: int | None = None
    tolerated_failures: int | None = None

    def may_end_early(self, count: int) -> bool:
        """Whether a batch of `count` items may end before all of them have ended."""
        return self.tolerated_failures is not None or (self.min_successful or count) < count

    def check(self, count: int) -> None:
        """Raise InvalidRequestError, a ValueError, if a batch of `count` items cannot have this policy."""
        _check_number("concurrency", self.concurrency, 1)
        _check_number("min_successful", self.min_successful, 1)
        _check_number("tolerated_failures", self.tolerated_failures, 0)
        if count > ITEMS_MAX:
            raise InvalidRequestError(
                f"items: a batch has {ITEMS_MAX} at most, and these are {count}; make several batches."
            )
        if self.min_successful is not None and self.min_successful > count:
            raise InvalidRequestError(
                f"min_successful: {self.min_successful} of {count} items can never succeed; use fewer."
            )


def winner(batch: Batch[T], names: Iterable[str]) -> tuple[str, T]:
    """The name and the result of the first call that ended in a race. Raises the error of this call."""
    for name, item in zip(names, batch, strict=True):
        if item.error is not None:
            raise item.error
        if item.status == "succeeded":
            result: Any = item.result
            return name, result
    raise AssertionError("a race ends with the first of its calls")


def policy_of(options: PolicyOptions) -> BatchPolicy:
    """The policy with these options. Raises InvalidRequestError for an unknown option."""
    check_options(options, PolicyOptions)
    return BatchPolicy(**options)


ALL: Final = BatchPolicy()
ALL_SUCCESSFUL: Final = BatchPolicy(tolerated_failures=0)
FIRST: Final = BatchPolicy(min_successful=1, tolerated_failures=0)


def listed(items: Iterable[Any], key: Callable[[Any], Key] | None) -> tuple[list[Any], list[str]]:
    """The items of a map and their keys. Raises InvalidRequestError, a ValueError, for wrong ones."""
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise InvalidRequestError(f"items: give a list of them, not {type(items).__qualname__}.")
    if key is None and isinstance(items, set | frozenset):
        raise InvalidRequestError(
            "items: a set has another order in each process; sort it, or give a `key`."
        )
    known = list(items)
    if key is None:
        return known, [str(index) for index in range(len(known))]
    first: dict[str, int] = {}
    for index, item in enumerate(known):
        text = f"/{key_text(key(item))}"
        if first.setdefault(text, index) != index:
            raise InvalidRequestError(f"key: items {first[text]} and {index} both have {text[1:]!r}.")
    return known, list(first)


def gathered(batch: Batch[T], *, return_exceptions: bool) -> list[Any]:
    """The results of a batch in order. An error of an item is raised, or is among the results."""
    if not return_exceptions:
        return batch.results()
    return [item.result if item.error is None else item.error for item in batch]


def _check_number(name: str, number: int | None, least: int) -> None:
    if number is None:
        return
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise InvalidRequestError(f"{name}: use a number from {least} on, not {number!r}.")
