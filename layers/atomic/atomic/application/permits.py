"""What an attempt holds from before its claim to the end of its call: the permit for its destination."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from atomic.domain.steps import Step


class Permit:
    """A place for one attempt at its destination, as an asynchronous context manager.

    It is released once, at the end of the block, unless it was passed on to who makes the attempt.
    """

    __slots__ = ("_release",)

    def __init__(self, release: Callable[[], Awaitable[None]] | None = None) -> None:
        """`release` gives the place back; None where there is nothing to give back. It does not raise."""
        self._release = release

    def pass_on(self) -> "Permit":
        """The permit for somebody else's block; this one holds nothing any more."""
        passed, self._release = Permit(self._release), None
        return passed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        release, self._release = self._release, None
        if release is not None:
            await release()


@dataclass(frozen=True, slots=True)
class Claim:
    """A step whose next attempt is ours to make: its row says so, and its destination permits it."""

    step: Step
    permit: Permit
