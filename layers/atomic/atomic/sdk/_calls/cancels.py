"""A handler that is called because its run is cancelled, to undo what its earlier attempts did.

It is replayed as always. The first call of each branch that no earlier attempt has posted raises
RunCancelledError. Such a call is never posted, so each replay raises in the same place. Later calls of the
branch, and those of undos, are made as usual. A step that the cancel has ended raises this error, too.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from atomic.protocol import keys
from atomic.sdk._calls.context import BaseContext, StepCall
from atomic.sdk._calls.results import Results, is_posted
from atomic.sdk._wire.transport import Flow
from atomic.sdk.errors import CancelledError, RunCancelledError

T = TypeVar("T")
# Whether a saga undoes its calls: it may call what it has not called before, although the run is cancelled.
undoing: Final[ContextVar[bool]] = ContextVar("atomic_undoing", default=False)


class CancelledContext(BaseContext, ABC):
    """A context whose run may be cancelled."""

    @property
    def cancelled(self) -> bool:
        """Whether the run is being cancelled, and this call may undo what earlier ones did."""
        return self._call.cancelled

    @contextmanager
    def _called(self, step_call: StepCall[Any]) -> Iterator[None]:
        try:
            with super()._called(step_call):
                yield
        except CancelledError as error:
            if self.cancelled and type(error) is CancelledError:
                self._mark_told()
                raise RunCancelledError(f"{step_call.title} was cancelled.") from None
            raise

    async def _tell_if_cancelled(self, step_call: StepCall[Any]) -> None:
        """Raise RunCancelledError for the first call of a branch that no earlier attempt has posted."""
        if self.cancelled and not (undoing.get() or self._is_told() or await self._was_posted(step_call)):
            self._mark_told()
            raise RunCancelledError(f"{step_call.title} is not called.")

    async def _was_posted(self, step_call: StepCall[Any]) -> bool:
        """Whether an earlier attempt has posted the step. Asks the server, as the results may lag."""
        if keys.run_of(step_call.id) != self.run_id:
            # The run as which this one would go on is none of its steps, and must not begin any more.
            return False
        known = await self._known()
        if known.has(step_call.id):
            return True
        if self._query is None:
            # Without a token, nothing is known of earlier attempts.
            return self.attempt > 1
        return await self._send(is_posted(self._query, known, step_call.id, self._client.patience_s))

    @abstractmethod
    def _is_told(self) -> bool:
        """Whether a call of the current branch has raised because the run is cancelled."""

    @abstractmethod
    def _mark_told(self) -> None:
        """Note that a call of the current branch raises because the run is cancelled."""

    @abstractmethod
    async def _known(self) -> Results:
        """The results of earlier attempts. The first call that needs these results reads them."""

    @abstractmethod
    async def _send(self, flow: Flow[T]) -> T: ...
