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
from atomic.sdk.retry import Seconds, milliseconds

T = TypeVar("T")


class CountersOfClient(BaseClient, ABC):
    """The methods of `Client` about counters: `workflows` and `counters`."""

    def workflows(self, *, since: datetime | None = None) -> list[WorkflowDocument]:
        """List the workflows that were started in the last 31 days, by name, with counts of their runs.

        - `since`: count runs from this moment on, as a datetime with a time zone (default: this hour and
          the 23 before). It is rounded down to a minute within this hour and the 7 before; else, and on
          AWS, to an hour.

        Returns for each: `workflow_name`, how many runs are `live`, `last_start_at`, and what has become of
        the runs of that time: `started`, `succeeded`, `failed`, `cancelled`, `retries`, `duration_ms_p50`
        and `duration_ms_p95`.

        Raises `InvalidRequestError` for a wrong moment, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        return self.run_flow(_workflows(self.client_id, since, self.patience_s))

    def counters(
        self,
        *,
        since: datetime | None = None,
        before: datetime | None = None,
        workflow_name: str | None = None,
        every: Seconds | None = None,
        all_workflows: bool = False,
    ) -> list[CounterDocument]:
        """Count runs by workflow and by the hour or minute (UTC) of their start, the newest first.

        - `since`: spans from this moment's on, as a datetime with a time zone (default: a day ago; for
          minutes, the beginning of the hours that have them).
        - `before`: spans that began before this moment (default: now).
        - `workflow_name`: only this workflow (default: all).
        - `every`: the length of a span, in seconds or as a timedelta: whole hours, or minutes that divide
          an hour (default: an hour). Minutes are kept for this hour and the 7 before, and not on AWS; else
          spans are hours.
        - `all_workflows`: sum up all workflows; `workflow_name` of what is returned is None then.

        Returns for each span (`began_at`, `span_ms`) and workflow what has become of its runs until now:
        `started`, `succeeded`, `failed`, `cancelled`, `live`, `retries`, `duration_ms_sum`,
        `duration_ms_p50`, `duration_ms_p95`. They are kept for 31 days.

        Raises `InvalidRequestError` for a wrong moment or span, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        query = _filter(since, before, workflow_name, every, all_workflows=all_workflows)
        return self.run_flow(_counters(self.client_id, query, self.patience_s))

    @abstractmethod
    def run_flow(self, flow: Flow[T]) -> T: ...


class CountersOfAsyncClient(BaseClient, ABC):
    """The same methods of `AsyncClient`."""

    async def workflows(self, *, since: datetime | None = None) -> list[WorkflowDocument]:
        """List the workflows that were started in the last 31 days, by name, with counts of their runs.

        - `since`: count runs from this moment on, as a datetime with a time zone (default: this hour and
          the 23 before). It is rounded down to a minute within this hour and the 7 before; else, and on
          AWS, to an hour.

        Returns for each: `workflow_name`, how many runs are `live`, `last_start_at`, and what has become of
        the runs of that time: `started`, `succeeded`, `failed`, `cancelled`, `retries`, `duration_ms_p50`
        and `duration_ms_p95`.

        Raises `InvalidRequestError` for a wrong moment, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        return await self.run_flow(_workflows(self.client_id, since, self.patience_s))

    async def counters(
        self,
        *,
        since: datetime | None = None,
        before: datetime | None = None,
        workflow_name: str | None = None,
        every: Seconds | None = None,
        all_workflows: bool = False,
    ) -> list[CounterDocument]:
        """Count runs by workflow and by the hour or minute (UTC) of their start, the newest first.

        - `since`: spans from this moment's on, as a datetime with a time zone (default: a day ago; for
          minutes, the beginning of the hours that have them).
        - `before`: spans that began before this moment (default: now).
        - `workflow_name`: only this workflow (default: all).
        - `every`: the length of a span, in seconds or as a timedelta: whole hours, or minutes that divide
          an hour (default: an hour). Minutes are kept for this hour and the 7 before, and not on AWS; else
          spans are hours.
        - `all_workflows`: sum up all workflows; `workflow_name` of what is returned is None then.

        Returns for each span (`began_at`, `span_ms`) and workflow what has become of its runs until now:
        `started`, `succeeded`, `failed`, `cancelled`, `live`, `retries`, `duration_ms_sum`,
        `duration_ms_p50`, `duration_ms_p95`. They are kept for 31 days.

        Raises `InvalidRequestError` for a wrong moment or span, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        query = _filter(since, before, workflow_name, every, all_workflows=all_workflows)
        return await self.run_flow(_counters(self.client_id, query, self.patience_s))

    @abstractmethod
    async def run_flow(self, flow: Flow[T]) -> T: ...


def _workflows(client_id: str, since: datetime | None, patience_s: float) -> Flow[list[WorkflowDocument]]:
    query = {} if since is None else {"from": moment("since", since)}
    return (
        yield from list_all(
            client_id, "workflows", WorkflowList, lambda page: page.workflows, patience_s, query
        )
    )


def _counters(client_id: str, query: Mapping[str, str], patience_s: float) -> Flow[list[CounterDocument]]:
    return (
        yield from list_all(
            client_id, "counters", CounterList, lambda page: page.counters, patience_s, query
        )
    )


def _filter(
    since: datetime | None,
    before: datetime | None,
    workflow_name: str | None,
    every: Seconds | None,
    *,
    all_workflows: bool,
) -> dict[str, str]:
    query = {"workflowName": workflow_name or "", "allWorkflows": "true" if all_workflows else ""}
    query["from"] = "" if since is None else moment("since", since)
    query["to"] = "" if before is None else moment("before", before)
    query["every"] = "" if every is None else str(milliseconds("every", every))
    return {name: text for name, text in query.items() if text}
