"""The permit for a destination, which an attempt holds from before its claim to the end of its call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from atomic.domain.steps import Step


class Permit:
    """Permission for one attempt at its destination, as an asynchronous context manager.

    It is released once, at the end of the block. After `pass_on`, the other permit's block releases it.
    """

    __slots__ = ("_release",)

    def __init__(self, release: Callable[[], Awaitable[None]] | None = None) -> None:
        """`release` gives the permit back and does not raise; None when there is nothing to give back."""
        self._release = release

    def pass_on(self) -> "Permit":
        """A permit for another block; this one holds nothing any more."""
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
    """A step whose next attempt this process makes: the row is claimed, and the permit is held."""

    step: Step
    permit: Permit
