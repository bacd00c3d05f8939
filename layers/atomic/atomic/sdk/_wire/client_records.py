"""The methods of both clients about what is kept: the audit log, exports, erasures, retentions."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import TypeVar, Unpack

from atomic.protocol.audit_documents import ActDocument
from atomic.protocol.documents import StepDocument
from atomic.protocol.enums import StatusName
from atomic.protocol.workflow_states import WorkflowState
from atomic.sdk._wire import records
from atomic.sdk._wire.base_client import BaseClient
from atomic.sdk._wire.lists import ExportFilter, filter_document
from atomic.sdk._wire.transport import Flow

T = TypeVar("T")


class RecordsOfClient(BaseClient, ABC):
    """The methods of `Client` about what is kept: `audit`, `export`, `erase` and those of retentions."""

    def export(
        self, *, status: StatusName | None = None, **wanted: Unpack[ExportFilter]
    ) -> Iterator[StepDocument]:
        """Export runs with all of their steps, the newest run first. A filter that is left out selects all.

        - `status`: only runs in this state, such as "failed".
        - `workflow_name`: only this workflow name.
        - `key_prefix`: idempotency keys that begin with it; `key_contains`: with this text in them.
        - `tag`: only runs with this tag, as "customer:c-17", or with each of a list.
        - `cause`: only runs that failed for the cause of this id.
        - `dismissed`: only failed runs that were dismissed or, if it is False, that need action.
        - `created_after`, `created_before`: RFC 3339 times, as in "2026-11-23T07:38:00Z".

        Yields the steps, those of one run after the other. They are read page by page, so that any number
        of runs needs little memory. Payloads and responses above 256 KiB are None, as in `get`.

        Raises `InvalidRequestError` for a wrong filter, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        query = {**({"status": status} if status else {}), **filter_document(wanted, ExportFilter)}
        path: str | None = records.export_path(self.client_id, query)
        while path is not None:
            page = self.run_flow(records.export_page(path, self.patience_s))
            for line in page.lines.splitlines():
                yield StepDocument.model_validate_json(line)
            path = page.next

    def erase(self, run_id: str) -> None:
        """Erase a run that has ended: its steps, with their payloads and responses.

        - `run_id`: the id of the run.

        Afterwards a start of the same key begins a new run. Runs that it has started stay. It needs a key
        with the scope `admin`.

        Raises `RefusedError` (`run-live`) while one of its steps is live, `NotFoundError` when there is no
        such run (any more), `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        self.run_flow(records.erase(self.client_id, run_id, self.patience_s))

    def audit(
        self,
        *,
        action: str | None = None,
        by: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 100,
    ) -> list[ActDocument]:
        """Read the audit log: what operators did to runs, schedules, limits and keys, the newest first.

        - `action`: only this operation, by its id in the API's description, such as "cancelRun".
        - `by`: only what this key did (its id, the middle part), or this caller of AWS (its ARN).
        - `since`, `before`: only acts from then on, or before, as datetimes with a time zone.
        - `limit`: how many acts to return at most (default 100).

        Returns the acts: `action`, `target`, `by`, `at`, `source`, `status` and more. Refused ones are
        among them. It needs a key with the scope `admin`.

        Raises `InvalidRequestError` for a wrong filter, `NotFoundError` when the key is not for `admin`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        query = records.act_filter(action, by, since, before)
        return self.run_flow(records.acts(self.client_id, query, limit, self.patience_s))

    def set_retention(self, name: str, days: int) -> WorkflowState:
        """Keep the runs of a workflow for fewer days after their end than the server keeps others.

        - `name`: the name of the workflow. It need not have runs.
        - `days`: for how many days; at most for as many as the server keeps runs.

        Returns the workflow. It is for runs that begin from two seconds on, on AWS from a minute on. A run
        keeps the retention that it began with. It needs a key with the scope `admin`.

        Raises `InvalidRequestError` for more days than the server keeps runs, `RefusedError` if 50
        workflows have retentions or if another request changed the client at the same moment,
        `NotFoundError` when the key is not for `admin`, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        return self.run_flow(records.set_retention(self.client_id, name, days, self.patience_s))

    def clear_retention(self, name: str) -> WorkflowState:
        """Keep the runs of a workflow that begin from now on for as long as the server keeps others.

        - `name`: the name of the workflow.

        Returns the workflow. It needs a key with the scope `admin`.

        Raises `RefusedError` if another request changed the client at the same moment, `NotFoundError` when
        the key is not for `admin`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(records.clear_retention(self.client_id, name, self.patience_s))

    def retentions(self) -> list[WorkflowState]:
        """All workflows that have retentions of their own, by name: `retention_days` of each.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(records.retentions(self.client_id, self.patience_s))

    @abstractmethod
    def run_flow(self, flow: Flow[T]) -> T: ...


class RecordsOfAsyncClient(BaseClient, ABC):
    """The same methods of `AsyncClient`."""

    async def export(
        self, *, status: StatusName | None = None, **wanted: Unpack[ExportFilter]
    ) -> AsyncIterator[StepDocument]:
        """Export runs with all of their steps, the newest run first. A filter that is left out selects all.

        - `status`: only runs in this state, such as "failed".
        - `workflow_name`: only this workflow name.
        - `key_prefix`: idempotency keys that begin with it; `key_contains`: with this text in them.
        - `tag`: only runs with this tag, as "customer:c-17", or with each of a list.
        - `cause`: only runs that failed for the cause of this id.
        - `dismissed`: only failed runs that were dismissed or, if it is False, that need action.
        - `created_after`, `created_before`: RFC 3339 times, as in "2026-11-23T07:38:00Z".

        Yields the steps, those of one run after the other. They are read page by page, so that any number
        of runs needs little memory. Payloads and responses above 256 KiB are None, as in `get`.

        Raises `InvalidRequestError` for a wrong filter, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        query = {**({"status": status} if status else {}), **filter_document(wanted, ExportFilter)}
        path: str | None = records.export_path(self.client_id, query)
        while path is not None:
            page = await self.run_flow(records.export_page(path, self.patience_s))
            for line in page.lines.splitlines():
                yield StepDocument.model_validate_json(line)
            path = page.next

    async def erase(self, run_id: str) -> None:
        """Erase a run that has ended: its steps, with their payloads and responses.

        - `run_id`: the id of the run.

        Afterwards a start of the same key begins a new run. Runs that it has started stay. It needs a key
        with the scope `admin`.

        Raises `RefusedError` (`run-live`) while one of its steps is live, `NotFoundError` when there is no
        such run (any more), `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        await self.run_flow(records.erase(self.client_id, run_id, self.patience_s))

    async def audit(
        self,
        *,
        action: str | None = None,
        by: str | None = None,
        since: datetime | None = None,
        before: datetime | None = None,
        limit: int = 100,
    ) -> list[ActDocument]:
        """Read the audit log: what operators did to runs, schedules, limits and keys, the newest first.

        - `action`: only this operation, by its id in the API's description, such as "cancelRun".
        - `by`: only what this key did (its id, the middle part), or this caller of AWS (its ARN).
        - `since`, `before`: only acts from then on, or before, as datetimes with a time zone.
        - `limit`: how many acts to return at most (default 100).

        Returns the acts: `action`, `target`, `by`, `at`, `source`, `status` and more. Refused ones are
        among them. It needs a key with the scope `admin`.

        Raises `InvalidRequestError` for a wrong filter, `NotFoundError` when the key is not for `admin`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        query = records.act_filter(action, by, since, before)
        return await self.run_flow(records.acts(self.client_id, query, limit, self.patience_s))

    async def set_retention(self, name: str, days: int) -> WorkflowState:
        """Keep the runs of a workflow for fewer days after their end than the server keeps others.

        - `name`: the name of the workflow. It need not have runs.
        - `days`: for how many days; at most for as many as the server keeps runs.

        Returns the workflow. It is for runs that begin from two seconds on, on AWS from a minute on. A run
        keeps the retention that it began with. It needs a key with the scope `admin`.

        Raises `InvalidRequestError` for more days than the server keeps runs, `RefusedError` if 50
        workflows have retentions or if another request changed the client at the same moment,
        `NotFoundError` when the key is not for `admin`, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        return await self.run_flow(records.set_retention(self.client_id, name, days, self.patience_s))

    async def clear_retention(self, name: str) -> WorkflowState:
        """Keep the runs of a workflow that begin from now on for as long as the server keeps others.

        - `name`: the name of the workflow.

        Returns the workflow. It needs a key with the scope `admin`.

        Raises `RefusedError` if another request changed the client at the same moment, `NotFoundError` when
        the key is not for `admin`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(records.clear_retention(self.client_id, name, self.patience_s))

    async def retentions(self) -> list[WorkflowState]:
        """All workflows that have retentions of their own, by name: `retention_days` of each.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(records.retentions(self.client_id, self.patience_s))

    @abstractmethod
    async def run_flow(self, flow: Flow[T]) -> T: ...
