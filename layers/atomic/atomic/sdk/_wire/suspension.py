"""How a handler ends that waits: it is called again when what it waits for has ended."""

from collections.abc import Iterable


class Suspended(BaseException):
    """The handler ends at this point, and is called again. Internal.

    It is not an Exception, so that no `except Exception` of a handler catches it. `waiting_for` are the ids
    of the live steps, and `wake` says when the handler is called again: when "any" of them has ended, when
    "all" have succeeded or one has failed, or when all have "settled". `cause` is another reason why the
    handler cannot go on.
    """

    def __init__(
        self, cause: Exception | None = None, waiting_for: Iterable[str] = (), wake: str = "any"
    ) -> None:
        super().__init__()
        self.cause = cause
        self.waiting_for = tuple(waiting_for)
        self.wake = wake
