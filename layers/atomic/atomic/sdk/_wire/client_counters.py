"""The methods of both clients about counters of runs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from atomic.protocol.counter_documents import (
    CounterDocument,
    CounterList,
    WorkflowDocument,
    WorkflowList,
)
from atomic.sdk._wire.base_client import BaseClient
from atomic.sdk._wire.lists import list_all
from atomic.sdk._wire.moments import moment
from atomic.sdk._wire.transport import Flow

T = TypeVar("T")


class CountersOfClient(BaseClient, ABC):
    """The methods of `Client` about counters: `workflows` and `counters`."""

    def workflows(self) -> list[WorkflowDocument]:
        """List the workflows that were started in the last 31 days, by name, with counts of their runs.

        Returns for each: `workflow_name`, how many runs are `live`, `last_start_at`, and what has become of
        the runs that were started in this hour and the 23 before: `started`, `succeeded`, `failed`,
        `cancelled`, `retries`, `duration_ms_p50` and `duration_ms_p95`.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(_workflows(self.client_id, self.patience_s))

    def counters(
        self,
        *,
        since: datetime | None = None,
        before: datetime | None = None,
        workflow_name: str | None = None,
    ) -> list[CounterDocument]:
        """Count runs by workflow and by the hour (UTC) of their start, the newest hour first.

        - `since`: hours from this moment's on, as a datetime with a time zone (default: a day ago).
        - `before`: hours that began before this moment (default: now).
        - `workflow_name`: only this workflow (default: all).

        Returns for each hour and workflow what has become of its runs until now: `started`, `succeeded`,
        `failed`, `cancelled`, `live`, `retries`, `duration_ms_sum`, `duration_ms_p50`, `duration_ms_p95`.
        They are kept for 31 days.

        Raises `InvalidRequestError` for a wrong moment, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        query = _filter(since, before, workflow_name)
        return self.run_flow(_counters(self.client_id, query, self.patience_s))

    @abstractmethod
    def run_flow(self, flow: Flow[T]) -> T: ...


class CountersOfAsyncClient(BaseClient, ABC):
    """The same methods of `AsyncClient`."""

    async def workflows(self) -> list[WorkflowDocument]:
        """List the workflows that were started in the last 31 days, by name, with counts of their runs.

        Returns for each: `workflow_name`, how many runs are `live`, `last_start_at`, and what has become of
        the runs that were started in this hour and the 23 before: `started`, `succeeded`, `failed`,
        `cancelled`, `retries`, `duration_ms_p50` and `duration_ms_p95`.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(_workflows(self.client_id, self.patience_s))

    async def counters(
        self,
        *,
        since: datetime | None = None,
        before: datetime | None = None,
        workflow_name: str | None = None,
    ) -> list[CounterDocument]:
        """Count runs by workflow and by the hour (UTC) of their start, the newest hour first.

        - `since`: hours from this moment's on, as a datetime with a time zone (default: a day ago).
        - `before`: hours that began before this moment (default: now).
        - `workflow_name`: only this workflow (default: all).

        Returns for each hour and workflow what has become of its runs until now: `started`, `succeeded`,
        `failed`, `cancelled`, `live`, `retries`, `duration_ms_sum`, `duration_ms_p50`, `duration_ms_p95`.
        They are kept for 31 days.

        Raises `InvalidRequestError` for a wrong moment, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        query = _filter(since, before, workflow_name)
        return await self.run_flow(_counters(self.client_id, query, self.patience_s))

    @abstractmethod
    async def run_flow(self, flow: Flow[T]) -> T: ...


def _workflows(client_id: str, patience_s: float) -> Flow[list[WorkflowDocument]]:
    return (
        yield from list_all(client_id, "workflows", WorkflowList, lambda page: page.workflows, patience_s)
    )


def _counters(client_id: str, query: Mapping[str, str], patience_s: float) -> Flow[list[CounterDocument]]:
    return (
        yield from list_all(
            client_id, "counters", CounterList, lambda page: page.counters, patience_s, query
        )
    )


def _filter(since: datetime | None, before: datetime | None, workflow_name: str | None) -> dict[str, str]:
    query = {"workflowName": workflow_name or ""}
    query["from"] = "" if since is None else moment("since", since)
    query["to"] = "" if before is None else moment("before", before)
    return {name: text for name, text in query.items() if text}
