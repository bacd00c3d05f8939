"""What operators see of the limits that steps share, and what they pin: `client.flow_keys`."""

from typing import Any

from atomic.protocol.flow import FlowKeyDocument, FlowStepList
from atomic.sdk._wire import flow_keys as flows
from atomic.sdk._wire.client_events import EventsOfAsyncClient, EventsOfClient
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.flow import rate_document
from atomic.sdk.retry import Seconds


class FlowKeys:
    """The keys of flow control of a `Client`. A server without flow control has none.

    Every method may raise `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
    """

    def __init__(self, client: EventsOfClient) -> None:
        self._client = client

    def all(self) -> list[FlowKeyDocument]:
        """All keys that steps have named lately, by name."""
        client = self._client
        return client.run_flow(flows.all_of(client.client_id, client.patience_s))

    def get(self, key: str) -> FlowKeyDocument:
        """How many slots of a key are taken (`running`), and how many steps wait (`queued`, `oldest`).

        Raises `NotFoundError` for a key that no step has named lately.
        """
        client = self._client
        return client.run_flow(flows.get(client.client_id, key, client.patience_s))

    def pin(
        self, key: str, *, concurrency: int | None = None, rate: tuple[int, Seconds] | None = None
    ) -> FlowKeyDocument:
        """Set the limits of a key, whatever its steps say. What is left out stays as it is.

        - `concurrency`: how many attempts may be under way at a time.
        - `rate`: how many may begin within a time, as in `rate=(10, 1.0)` for ten a second.

        Returns the key. Raises `InvalidRequestError`.
        """
        return self._put(key, _pinned(concurrency, rate))

    def unpin(self, key: str) -> FlowKeyDocument:
        """Let the limits be those that the steps of the key say again. Returns the key."""
        return self._put(key, {"concurrency": None, "rate": None})

    def steps(self, key: str, *, limit: int = 100) -> FlowStepList:
        """The steps that have a slot (`running`), and those in line (`queued`), whose turn is next first.

        - `limit`: at most so many of each, up to 100 (default 100).

        Raises `NotFoundError` for a key that no step has named lately, `InvalidRequestError`.
        """
        client = self._client
        return client.run_flow(flows.steps(client.client_id, key, limit, client.patience_s))

    def pause(self, key: str, *, note: str = "") -> FlowKeyDocument:
        """Let nothing new in; what is inside goes on to its end. Returns the key.

        - `note`: why, for people (default: none).
        """
        return self._put(key, _paused(note))

    def resume(self, key: str) -> FlowKeyDocument:
        """Let steps in again. Returns the key."""
        return self._put(key, {"paused": False})

    def _put(self, key: str, pinned: dict[str, Any]) -> FlowKeyDocument:
        client = self._client
        return client.run_flow(flows.pin(client.client_id, key, pinned, client.patience_s))


class AsyncFlowKeys:
    """The keys of flow control of an `AsyncClient`: the methods of `FlowKeys`, to be awaited."""

    def __init__(self, client: EventsOfAsyncClient) -> None:
        self._client = client

    async def all(self) -> list[FlowKeyDocument]:
        """All keys that steps have named lately, by name. See `FlowKeys`."""
        client = self._client
        return await client.run_flow(flows.all_of(client.client_id, client.patience_s))

    async def get(self, key: str) -> FlowKeyDocument:
        """A key as it is now. See `FlowKeys`."""
        client = self._client
        return await client.run_flow(flows.get(client.client_id, key, client.patience_s))

    async def pin(
        self, key: str, *, concurrency: int | None = None, rate: tuple[int, Seconds] | None = None
    ) -> FlowKeyDocument:
        """Set the limits of a key, whatever its steps say. See `FlowKeys`."""
        return await self._put(key, _pinned(concurrency, rate))

    async def unpin(self, key: str) -> FlowKeyDocument:
        """Let the limits be those that the steps say again. See `FlowKeys`."""
        return await self._put(key, {"concurrency": None, "rate": None})

    async def steps(self, key: str, *, limit: int = 100) -> FlowStepList:
        """The steps that have a slot, and those in line. See `FlowKeys`."""
        client = self._client
        return await client.run_flow(flows.steps(client.client_id, key, limit, client.patience_s))

    async def pause(self, key: str, *, note: str = "") -> FlowKeyDocument:
        """Let nothing new in. See `FlowKeys`."""
        return await self._put(key, _paused(note))

    async def resume(self, key: str) -> FlowKeyDocument:
        """Let steps in again. See `FlowKeys`."""
        return await self._put(key, {"paused": False})

    async def _put(self, key: str, pinned: dict[str, Any]) -> FlowKeyDocument:
        client = self._client
        return await client.run_flow(flows.pin(client.client_id, key, pinned, client.patience_s))


def _paused(note: str) -> dict[str, Any]:
    return {"paused": True, "note": note} if note else {"paused": True}


def _pinned(concurrency: int | None, rate: tuple[int, Seconds] | None) -> dict[str, Any]:
    pinned: dict[str, Any] = {}
    if concurrency is not None:
        pinned["concurrency"] = concurrency
    if rate is not None:
        pinned["rate"] = rate_document("rate", rate)
    if not pinned:
        raise InvalidRequestError("pin: give concurrency, rate or both.")
    return pinned
