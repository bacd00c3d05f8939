"""The methods of both clients about how endpoints do, and what is used of the client's limits."""

from abc import ABC, abstractmethod
from typing import TypeVar
from urllib.parse import quote

from atomic.protocol.endpoint_documents import EndpointDocument, EndpointList, LimitsDocument
from atomic.sdk._wire.api import document_of, get_of
from atomic.sdk._wire.base_client import BaseClient
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import Flow

T = TypeVar("T")


class LoadsOfClient(BaseClient, ABC):
    """The methods of `Client` about load: `endpoints` and `limits`."""

    def endpoints(self) -> list[EndpointDocument]:
        """How the endpoints have answered in the last 15 minutes, by origin.

        Returns for each: `origin`, `attempts`, `failed`, `duration_ms_p50`, `duration_ms_p95`, and how it
        is called now: `under_way`, `limit`, `slowed`, `waiting`, `rests`. Most failures come first.

        Raises `NotFoundError` on AWS, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(_endpoints(self.client_id, self.patience_s))

    def limits(self) -> LimitsDocument:
        """The limits of the client, and what is used of them.

        Returns `starts_per_second`, `live_steps` and `stored_bytes`, each with `limit` and `used`.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(_limits(self.client_id, self.patience_s))

    @abstractmethod
    def run_flow(self, flow: Flow[T]) -> T: ...


class LoadsOfAsyncClient(BaseClient, ABC):
    """The same methods of `AsyncClient`."""

    async def endpoints(self) -> list[EndpointDocument]:
        """How the endpoints have answered in the last 15 minutes, by origin.

        Returns for each: `origin`, `attempts`, `failed`, `duration_ms_p50`, `duration_ms_p95`, and how it
        is called now: `under_way`, `limit`, `slowed`, `waiting`, `rests`. Most failures come first.

        Raises `NotFoundError` on AWS, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(_endpoints(self.client_id, self.patience_s))

    async def limits(self) -> LimitsDocument:
        """The limits of the client, and what is used of them.

        Returns `starts_per_second`, `live_steps` and `stored_bytes`, each with `limit` and `used`.

        Raises `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(_limits(self.client_id, self.patience_s))

    @abstractmethod
    async def run_flow(self, flow: Flow[T]) -> T: ...


def _endpoints(client_id: str, patience_s: float) -> Flow[list[EndpointDocument]]:
    request = get_of(f"/{quote(client_id)}/endpoints")
    return document_of(EndpointList, (yield from exchange(request, patience_s))).endpoints


def _limits(client_id: str, patience_s: float) -> Flow[LimitsDocument]:
    request = get_of(f"/{quote(client_id)}/limits")
    return document_of(LimitsDocument, (yield from exchange(request, patience_s)))
