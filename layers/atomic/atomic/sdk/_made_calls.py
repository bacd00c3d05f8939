"""The calls that a handler makes on its context. The contexts report calls that never begin."""

import sys
from pathlib import PurePath
from types import CodeType
from typing import NamedTuple, Protocol


class Titled(Protocol):
    """A call of a handler, with a name for people."""

    @property
    def title(self) -> str:
        """The name of the call, for people."""


class MadeCall(NamedTuple):
    """A call of the context, and the line of the handler that made it.

    A call that is never awaited, or never given to `parallel`, does not begin. Python does not warn about
    it, so the contexts report it.
    """

    made: Titled
    code: CodeType
    line: int

    @classmethod
    def here(cls, made: Titled, depth: int) -> "MadeCall":
        """The call that is made now. Its line is `depth` frames above the function that calls `here`."""
        frame = sys._getframe(depth + 1)  # noqa: SLF001 - quicker than `inspect.stack()`
        return cls(made, frame.f_code, frame.f_lineno)

    def __str__(self) -> str:
        return f"{self.made.title} ({PurePath(self.code.co_filename).name}, line {self.line})"
