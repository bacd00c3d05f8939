"""The methods of both clients that act on runs and steps."""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any, TypeVar, Unpack

from atomic.protocol.documents import RunSummary, StepOutcome
from atomic.protocol.workflow_states import WorkflowState
from atomic.sdk._wire import api, pauses
from atomic.sdk._wire.api import Key
from atomic.sdk._wire.base_client import BaseClient
from atomic.sdk._wire.lists import RedriveFilter, filter_document
from atomic.sdk._wire.redrives import redrive_all
from atomic.sdk._wire.restarts import SAME
from atomic.sdk._wire.transport import Flow
from atomic.sdk.retry import Seconds

T = TypeVar("T")


class ActionsOfClient(BaseClient, ABC):
    """The methods of `Client` that act on runs and steps: `cancel`, `redrive`, `due` and others."""

    def cancel(self, run_id: str, *, graceful: bool = False, within: Seconds | None = None) -> RunSummary:
        """Cancel a run and its live steps. A run that has ended stays as it is.

        - `run_id`: the id of the run.
        - `graceful`: whether its workflow is called once more, and told, to undo what it did (default: the
          run ends at once).
        - `within`: how long the workflow may take for that, in seconds or as a timedelta (default: 60; at
          most a day). Then the rest is cancelled.

        Returns the run as it is afterwards.

        Raises `InvalidRequestError`, `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        return self.run_flow(
            api.cancel_run(self.client_id, run_id, self.patience_s, graceful=graceful, within=within)
        )

    def cancel_step(self, step_id: str) -> StepOutcome:
        """Cancel one step and the live steps below it; its run goes on. An ended step stays as it is.

        - `step_id`: the id of the step.

        Returns the step as it is afterwards.

        Raises `RefusedError` for the root of a run, `NotFoundError`, `UnauthorizedError`, `NoAnswerError`
        or `UnavailableError`.
        """
        return self.run_flow(api.act_on_step(self.client_id, "cancel", step_id, self.patience_s))

    def due(self, step_id: str, *, at: datetime | None = None) -> StepOutcome:
        """Make a step that waits for a moment due: retry it now, end a sleep, start it at another time.

        - `step_id`: the id of the step. The id of a run's root step means its first or next attempt.
        - `at`: when it is due, as a datetime with a time zone (default: now). It is due no later than its
          deadline.

        Returns the step as it is afterwards. No attempt or retry is used up.

        Raises `RefusedError` (`not-reschedulable`) for a step that waits for no moment: it has ended, an
        attempt is under way, or it waits for others; `InvalidRequestError`, `NotFoundError`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(api.due(self.client_id, step_id, at, self.patience_s))

    def pause(self, run_id: str, *, note: str = "", until: datetime | None = None) -> RunSummary:
        """Pause a run: nothing of it is called until it is resumed. Attempts under way end.

        - `run_id`: the id of the run.
        - `note`: why, for people (default: none).
        - `until`: when it goes on by itself, as a datetime with a time zone (default: when it is resumed).

        Returns the run as it is afterwards. The runs that it waits for are paused with it. Deadlines go on.

        Raises `RefusedError` (`run-ended`) for a run that has ended, `InvalidRequestError`,
        `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(pauses.pause(self.client_id, run_id, self.patience_s, note=note, until=until))

    def resume(self, run_id: str) -> RunSummary:
        """Let a paused run go on. A step that has used up its retries gets all of them again.

        - `run_id`: the id of the run.

        Returns the run as it is afterwards.

        Raises `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(api.act_on_run(self.client_id, "resume", run_id, self.patience_s))

    def pause_workflow(self, name: str, *, note: str = "", until: datetime | None = None) -> WorkflowState:
        """Pause a workflow: none of its runs is called until it is resumed. Attempts under way end.

        - `name`: the name of the workflow. It need not have runs.
        - `note`: why, for people (default: none).
        - `until`: when it goes on by itself, as a datetime with a time zone (default: when it is resumed).

        Returns whether it is paused. The pause holds within two seconds on a server, and within a minute on
        AWS. Starts are accepted and kept. Deadlines go on.

        Raises `RefusedError` if 50 workflows are paused, or if another request changed the client at the
        same moment; `InvalidRequestError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(
            pauses.pause_workflow(self.client_id, name, self.patience_s, note=note, until=until)
        )

    def resume_workflow(self, name: str) -> WorkflowState:
        """Let the runs of a paused workflow go on, one after the other: within 15 minutes at the latest.

        - `name`: the name of the workflow.

        Returns whether it is paused.

        Raises `RefusedError` if another request changed the client at the same moment,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(pauses.resume_workflow(self.client_id, name, self.patience_s))

    def workflow_state(self, name: str) -> WorkflowState:
        """Read whether a workflow is paused.

        - `name`: the name of the workflow.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(pauses.workflow_state(self.client_id, name, self.patience_s))

    def paused_workflows(self) -> list[WorkflowState]:
        """All paused workflows, by name.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(pauses.paused_workflows(self.client_id, self.patience_s))

    def restart(
        self, run_id: str, *, payload: Any = SAME, key: Key | None = None, url: str | None = None
    ) -> RunSummary:
        """Start a run that has ended again, as another run. It stays as it is itself.

        - `run_id`: the id of the run.
        - `payload`: the input of the new run (default: the same). Its API key needs the scope `start`.
        - `key`: the key of the new run (default: that of the run with a number, as in `"k/2"`, `"k/3"`).
        - `url`: the endpoint of the new run (default: the same), for example of a repaired deployment. Its
          API key needs the scope `start`.

        Returns the new run, whose `restart_of` is the run; `wait` waits for it. The same call again finds
        it. With a codec, the payload is read, and encoded for the new run.

        Raises `RefusedError`: `run-live` for a run that has not ended, `run-exists` for a key that is
        used, or when the run was restarted at another URL before; `PayloadMismatchError` when the run was
        restarted with another payload before, or the key is used with one; `BusyError` while another run
        has the key of its `Singleton`; `SerializationError`, `InvalidRequestError`, `DecodingError`,
        `UrlNotAllowedError`, `TooLargeError`, `TooManyRequestsError`, `NotFoundError`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(self._restart(run_id, payload, key, url))

    def redrive(self, step_id: str) -> StepOutcome:
        """Give a dead letter its full number of attempts again. Any other step stays as it is.

        - `step_id`: the id of the failed step.

        Returns the step as it is afterwards.

        Raises `NotRedrivableError` when no handler needs the step any more, `NotFoundError`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(api.act_on_step(self.client_id, "redrive", step_id, self.patience_s))

    def redrive_all(self, **wanted: Unpack[RedriveFilter]) -> list[str]:
        """Redrive every dead letter that fits. At least one filter is required.

        - `workflow_name`: only this workflow name.
        - `key_prefix`: idempotency keys that begin with it.
        - `created_after`, `created_before`: RFC 3339 times, as in "2026-11-23T07:38:00Z".
        - `tag`: only of runs with this tag, as "name:value", or with all of several tags.

        Returns the ids of the steps that were redriven; those that no handler needs any more are left out.

        Raises `InvalidRequestError` for a wrong filter or none, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        return self.run_flow(
            redrive_all(self.client_id, filter_document(wanted, RedriveFilter), self.patience_s)
        )

    @abstractmethod
    def run_flow(self, flow: Flow[T]) -> T: ...


class ActionsOfAsyncClient(BaseClient, ABC):
    """The same methods of `AsyncClient`."""

    async def cancel(
        self, run_id: str, *, graceful: bool = False, within: Seconds | None = None
    ) -> RunSummary:
        """Cancel a run and its live steps. A run that has ended stays as it is.

        - `run_id`: the id of the run.
        - `graceful`: whether its workflow is called once more, and told, to undo what it did (default: the
          run ends at once).
        - `within`: how long the workflow may take for that, in seconds or as a timedelta (default: 60; at
          most a day). Then the rest is cancelled.

        Returns the run as it is afterwards.

        Raises `InvalidRequestError`, `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        flow = api.cancel_run(self.client_id, run_id, self.patience_s, graceful=graceful, within=within)
        return await self.run_flow(flow)

    async def cancel_step(self, step_id: str) -> StepOutcome:
        """Cancel one step and the live steps below it; its run goes on. An ended step stays as it is.

        - `step_id`: the id of the step.

        Returns the step as it is afterwards.

        Raises `RefusedError` for the root of a run, `NotFoundError`, `UnauthorizedError`, `NoAnswerError`
        or `UnavailableError`.
        """
        return await self.run_flow(api.act_on_step(self.client_id, "cancel", step_id, self.patience_s))

    async def due(self, step_id: str, *, at: datetime | None = None) -> StepOutcome:
        """Make a step that waits for a moment due: retry it now, end a sleep, start it at another time.

        - `step_id`: the id of the step. The id of a run's root step means its first or next attempt.
        - `at`: when it is due, as a datetime with a time zone (default: now). It is due no later than its
          deadline.

        Returns the step as it is afterwards. No attempt or retry is used up.

        Raises `RefusedError` (`not-reschedulable`) for a step that waits for no moment: it has ended, an
        attempt is under way, or it waits for others; `InvalidRequestError`, `NotFoundError`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(api.due(self.client_id, step_id, at, self.patience_s))

    async def pause(self, run_id: str, *, note: str = "", until: datetime | None = None) -> RunSummary:
        """Pause a run: nothing of it is called until it is resumed. Attempts under way end.

        - `run_id`: the id of the run.
        - `note`: why, for people (default: none).
        - `until`: when it goes on by itself, as a datetime with a time zone (default: when it is resumed).

        Returns the run as it is afterwards. The runs that it waits for are paused with it. Deadlines go on.

        Raises `RefusedError` (`run-ended`) for a run that has ended, `InvalidRequestError`,
        `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(
            pauses.pause(self.client_id, run_id, self.patience_s, note=note, until=until)
        )

    async def resume(self, run_id: str) -> RunSummary:
        """Let a paused run go on. A step that has used up its retries gets all of them again.

        - `run_id`: the id of the run.

        Returns the run as it is afterwards.

        Raises `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(api.act_on_run(self.client_id, "resume", run_id, self.patience_s))

    async def pause_workflow(
        self, name: str, *, note: str = "", until: datetime | None = None
    ) -> WorkflowState:
        """Pause a workflow: none of its runs is called until it is resumed. Attempts under way end.

        - `name`: the name of the workflow. It need not have runs.
        - `note`: why, for people (default: none).
        - `until`: when it goes on by itself, as a datetime with a time zone (default: when it is resumed).

        Returns whether it is paused. The pause holds within two seconds on a server, and within a minute on
        AWS. Starts are accepted and kept. Deadlines go on.

        Raises `RefusedError` if 50 workflows are paused, or if another request changed the client at the
        same moment; `InvalidRequestError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(
            pauses.pause_workflow(self.client_id, name, self.patience_s, note=note, until=until)
        )

    async def resume_workflow(self, name: str) -> WorkflowState:
        """Let the runs of a paused workflow go on, one after the other: within 15 minutes at the latest.

        - `name`: the name of the workflow.

        Returns whether it is paused.

        Raises `RefusedError` if another request changed the client at the same moment,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(pauses.resume_workflow(self.client_id, name, self.patience_s))

    async def workflow_state(self, name: str) -> WorkflowState:
        """Read whether a workflow is paused.

        - `name`: the name of the workflow.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(pauses.workflow_state(self.client_id, name, self.patience_s))

    async def paused_workflows(self) -> list[WorkflowState]:
        """All paused workflows, by name.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(pauses.paused_workflows(self.client_id, self.patience_s))

    async def restart(
        self, run_id: str, *, payload: Any = SAME, key: Key | None = None, url: str | None = None
    ) -> RunSummary:
        """Start a run that has ended again, as another run. It stays as it is itself.

        - `run_id`: the id of the run.
        - `payload`: the input of the new run (default: the same). Its API key needs the scope `start`.
        - `key`: the key of the new run (default: that of the run with a number, as in `"k/2"`, `"k/3"`).
        - `url`: the endpoint of the new run (default: the same), for example of a repaired deployment. Its
          API key needs the scope `start`.

        Returns the new run, whose `restart_of` is the run; `wait` waits for it. The same call again finds
        it. With a codec, the payload is read, and encoded for the new run.

        Raises `RefusedError`: `run-live` for a run that has not ended, `run-exists` for a key that is
        used, or when the run was restarted at another URL before; `PayloadMismatchError` when the run was
        restarted with another payload before, or the key is used with one; `BusyError` while another run
        has the key of its `Singleton`; `SerializationError`, `InvalidRequestError`, `DecodingError`,
        `UrlNotAllowedError`, `TooLargeError`, `TooManyRequestsError`, `NotFoundError`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(self._restart(run_id, payload, key, url))

    async def redrive(self, step_id: str) -> StepOutcome:
        """Give a dead letter its full number of attempts again. Any other step stays as it is.

        - `step_id`: the id of the failed step.

        Returns the step as it is afterwards.

        Raises `NotRedrivableError` when no handler needs the step any more, `NotFoundError`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(api.act_on_step(self.client_id, "redrive", step_id, self.patience_s))

    async def redrive_all(self, **wanted: Unpack[RedriveFilter]) -> list[str]:
        """Redrive every dead letter that fits. At least one filter is required.

        - `workflow_name`: only this workflow name.
        - `key_prefix`: idempotency keys that begin with it.
        - `created_after`, `created_before`: RFC 3339 times, as in "2026-11-23T07:38:00Z".
        - `tag`: only of runs with this tag, as "name:value", or with all of several tags.

        Returns the ids of the steps that were redriven; those that no handler needs any more are left out.

        Raises `InvalidRequestError` for a wrong filter or none, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        flow = redrive_all(self.client_id, filter_document(wanted, RedriveFilter), self.patience_s)
        return await self.run_flow(flow)

    @abstractmethod
    async def run_flow(self, flow: Flow[T]) -> T: ...
