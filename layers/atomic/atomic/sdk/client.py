"""The blocking client, on requests."""

import time
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from atomic.protocol.documents import DeadLetter, RunDocument, RunSummary, StepDocument, StepOutcome
from atomic.protocol.enums import StatusName
from atomic.sdk import _flow
from atomic.sdk._client import BaseClient
from atomic.sdk._documents import (
    Key,
    RunFilter,
    StepOptions,
    check_options,
    filter_document,
    start_document,
)
from atomic.sdk._http import Flow, drive
from atomic.sdk._values import jsonable
from atomic.sdk._world import limits_from_now
from atomic.sdk.retry import Seconds

Result = TypeVar("Result")


class Client(BaseClient):
    """Starts and reads workflows. Safe to share between threads; may be used as a context manager.

    What is left out comes from ATOMIC_URL, ATOMIC_CLIENT_ID and ATOMIC_API_KEY, then from the defaults of
    `atomic serve --dev`. `patience` is how long (seconds) connection loss, 429 and 503 in a row are borne:
    every request is made again under its key meanwhile, which is safe.
    Every method raises an AtomicError: see `atomic.sdk.errors` for the tree.
    """

    def _open(self) -> None:
        # A handler that only writes steps makes no client, and requests is a third of the SDK's import.
        from atomic.sdk._blocking import Connections

        self._connections = Connections(self.connection)

    def start(
        self,
        workflow_name: str,
        url: str,
        payload: Any = None,
        *,
        key: Key,
        timeout: Seconds | None = 60.0,
        **options: Unpack[StepOptions],
    ) -> StepOutcome:
        """Start a workflow, or attach to the one of this name, URL and key, and wait for its outcome.

        `timeout` is the limit of this call, however many waits it takes; None waits as long as it lasts,
        0 returns the run as it stands once it is durable. Raises NotFinishedError when the limit is over
        (the run goes on), StepFailedError, CancelledError, or a RefusedError.
        """
        check_options(options, StepOptions)
        written = jsonable(payload, f"the payload of workflow {workflow_name!r}")
        document = start_document(workflow_name, url, written, key=key, options=options)
        return self.run_flow(
            _flow.start(self.client_id, document, limits_from_now(timeout, self.patience_s))
        )

    def wait(self, step_id: str, *, timeout: Seconds | None = 60.0) -> StepDocument:
        """Wait for a step's outcome; a run's is that of its root step. Raises as `start` does."""
        return self.run_flow(_flow.wait(self.client_id, step_id, limits_from_now(timeout, self.patience_s)))

    def get(self, run_id: str) -> RunDocument:
        """A run with its steps and their attempts."""
        return self.run_flow(_flow.get_run(self.client_id, run_id, self.patience_s))

    def step(self, step_id: str) -> StepDocument:
        """A step with its attempts."""
        return self.run_flow(_flow.get_step(self.client_id, step_id, self.patience_s))

    def runs(
        self, *, status: StatusName | None = None, limit: int = 100, **wanted: Unpack[RunFilter]
    ) -> list[RunSummary]:
        """The newest runs that fit, at most `limit`."""
        query = {**({"status": status} if status else {}), **filter_document(wanted)}
        return self.run_flow(_flow.list_runs(self.client_id, query, limit, self.patience_s))

    def dead_letters(self, *, limit: int = 100, **wanted: Unpack[RunFilter]) -> list[DeadLetter]:
        """The newest steps that failed and fit, at most `limit`."""
        query = filter_document(wanted)
        return self.run_flow(_flow.list_dead_letters(self.client_id, query, limit, self.patience_s))

    def cancel(self, run_id: str) -> RunSummary:
        """Cancel a run and its live steps; a run that has ended stays as it is."""
        return self.run_flow(_flow.cancel(self.client_id, run_id, self.patience_s))

    def redrive(self, step_id: str) -> StepOutcome:
        """Give a dead letter a fresh budget of attempts; any other step stays as it is."""
        return self.run_flow(_flow.redrive(self.client_id, step_id, self.patience_s))

    def redrive_all(self, **wanted: Unpack[RunFilter]) -> list[str]:
        """Redrive every dead letter that fits (a filter is required); their ids."""
        return self.run_flow(_flow.redrive_all(self.client_id, filter_document(wanted), self.patience_s))

    def complete(self, step_id: str, result: Any = None) -> StepOutcome:
        """Post the result of an event. Raises NotAnOpenEventError for any other step."""
        return self.run_flow(
            _flow.complete(
                self.client_id, step_id, jsonable(result, "the result of the event"), self.patience_s
            )
        )

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def run_flow(self, flow: Flow[Result]) -> Result:
        """Drive a flow over this client's connections."""
        return drive(flow, self._connections.send, time.sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
