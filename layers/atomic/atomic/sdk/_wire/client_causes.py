"""The methods of both clients about why runs failed."""

from abc import ABC, abstractmethod
from typing import TypeVar

from atomic.protocol.cause_documents import CauseList
from atomic.protocol.documents import RunSummary
from atomic.protocol.enums import CauseState
from atomic.sdk._wire import causes
from atomic.sdk._wire.base_client import BaseClient
from atomic.sdk._wire.transport import Flow

T = TypeVar("T")


class CausesOfClient(BaseClient, ABC):
    """The methods of `Client` about causes, and about the dismissal of failed runs."""

    def causes(
        self, *, state: CauseState = "open", workflow_name: str | None = None, limit: int = 50
    ) -> CauseList:
        """Count failed runs by why they failed, the most frequent cause first. Each run counts once.

        - `state`: "open" for runs that need action (default), "dismissed" for those that were dismissed.
          "handled" counts steps instead: those that failed while their workflows went on.
        - `workflow_name`: only this workflow name.
        - `limit`: how many causes to return at most (default 50; at most 100).

        Returns `causes`, each with its `id`, for the filter `cause` of `runs` and `dead_letters`, `text`,
        `count` and `samples`; `more`, if there are other causes; `is_all`, False where only the newest
        failures were counted.

        Raises `InvalidRequestError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        flow = causes.causes(self.client_id, state, workflow_name, limit, self.patience_s)
        return self.run_flow(flow)

    def dismiss(self, run_id: str, *, note: str = "") -> RunSummary:
        """Dismiss a failed run: it needs no action any more. A redrive of the run clears it.

        - `run_id`: the id of the run.
        - `note`: why, for people (default: none).

        Returns the run as it is afterwards; `dismissed` has the time and the note.

        Raises `RefusedError` (`not-failed`) for a run that has not failed, `InvalidRequestError`,
        `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(causes.dismiss(self.client_id, run_id, note, self.patience_s))

    def undismiss(self, run_id: str) -> RunSummary:
        """Take the dismissal of a failed run back. A run that is not dismissed stays as it is.

        - `run_id`: the id of the run.

        Returns the run as it is afterwards.

        Raises `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(causes.undismiss(self.client_id, run_id, self.patience_s))

    @abstractmethod
    def run_flow(self, flow: Flow[T]) -> T: ...


class CausesOfAsyncClient(BaseClient, ABC):
    """The same methods of `AsyncClient`."""

    async def causes(
        self, *, state: CauseState = "open", workflow_name: str | None = None, limit: int = 50
    ) -> CauseList:
        """Count failed runs by why they failed, the most frequent cause first. Each run counts once.

        - `state`: "open" for runs that need action (default), "dismissed" for those that were dismissed.
          "handled" counts steps instead: those that failed while their workflows went on.
        - `workflow_name`: only this workflow name.
        - `limit`: how many causes to return at most (default 50; at most 100).

        Returns `causes`, each with its `id`, for the filter `cause` of `runs` and `dead_letters`, `text`,
        `count` and `samples`; `more`, if there are other causes; `is_all`, False where only the newest
        failures were counted.

        Raises `InvalidRequestError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        flow = causes.causes(self.client_id, state, workflow_name, limit, self.patience_s)
        return await self.run_flow(flow)

    async def dismiss(self, run_id: str, *, note: str = "") -> RunSummary:
        """Dismiss a failed run: it needs no action any more. A redrive of the run clears it.

        - `run_id`: the id of the run.
        - `note`: why, for people (default: none).

        Returns the run as it is afterwards; `dismissed` has the time and the note.

        Raises `RefusedError` (`not-failed`) for a run that has not failed, `InvalidRequestError`,
        `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(causes.dismiss(self.client_id, run_id, note, self.patience_s))

    async def undismiss(self, run_id: str) -> RunSummary:
        """Take the dismissal of a failed run back. A run that is not dismissed stays as it is.

        - `run_id`: the id of the run.

        Returns the run as it is afterwards.

        Raises `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(causes.undismiss(self.client_id, run_id, self.patience_s))

    @abstractmethod
    async def run_flow(self, flow: Flow[T]) -> T: ...
