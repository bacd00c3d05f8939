"""Bulks of a client: the same act on all runs that fit a filter: `client.bulk`."""

from typing import Unpack

from atomic.protocol.bulk_documents import BulkCount, BulkDocument
from atomic.protocol.enums import BulkAction
from atomic.sdk._wire import client_bulk as flows
from atomic.sdk._wire.api import Key
from atomic.sdk._wire.client_bulk import BulkFilter
from atomic.sdk._wire.client_events import EventsOfAsyncClient, EventsOfClient


class ClientBulk:
    """The bulks of a `Client`.

    What is done to each run (`do`): "cancel", "redrive", "dismiss", "pause", "resume", "due", "restart"
    or "erase", which needs the scope `admin`. The filter needs at least one of these, and all must hold:

    - `status`, `workflow_name`, `key_prefix`, `key_contains`, `error_kind`, `response_status`, `waits_for`
    - `cause`: failed runs with the cause of this id; `dismissed`: those that were dismissed, or, if it is
      False, that need action
    - `tag`: as "customer:c-17", or several tags
    - `created_after`, `created_before`: RFC 3339 times, as in "2026-11-23T07:38:00Z"

    Every method may raise `InvalidRequestError`, `UnauthorizedError`, `NoAnswerError` or
    `UnavailableError`.
    """

    def __init__(self, client: EventsOfClient) -> None:
        self._client = client

    def count(self, do: BulkAction, **wanted: Unpack[BulkFilter]) -> BulkCount:
        """How many runs it would concern now, and the newest of them. Nothing is done."""
        client = self._client
        return client.run_flow(flows.count(client.client_id, do, wanted, client.patience_s))

    def start(
        self, do: BulkAction, *, note: str = "", key: Key | None = None, **wanted: Unpack[BulkFilter]
    ) -> BulkDocument:
        """Begin a bulk. It goes on by itself, in a run of its own, and concerns runs as they are now.

        - `note`: why, for people; the note of each pause or dismissal.
        - `key`: a second start with the same key finds the first one (default: each start begins one).

        Returns the bulk; its `run_id` is that of the run, which can be paused and cancelled.

        Raises `PayloadMismatchError` if the key is that of another bulk.
        """
        client = self._client
        return client.run_flow(
            flows.start(client.client_id, do, wanted, client.patience_s, note=note, key=key)
        )

    def get(self, run_id: str) -> BulkDocument:
        """Read how far a bulk is. Raises `NotFoundError`."""
        client = self._client
        return client.run_flow(flows.get(client.client_id, run_id, client.patience_s))


class AsyncClientBulk:
    """The bulks of an `AsyncClient`: the methods of `ClientBulk`, to be awaited."""

    def __init__(self, client: EventsOfAsyncClient) -> None:
        self._client = client

    async def count(self, do: BulkAction, **wanted: Unpack[BulkFilter]) -> BulkCount:
        """How many runs it would concern now. See `ClientBulk`."""
        client = self._client
        return await client.run_flow(flows.count(client.client_id, do, wanted, client.patience_s))

    async def start(
        self, do: BulkAction, *, note: str = "", key: Key | None = None, **wanted: Unpack[BulkFilter]
    ) -> BulkDocument:
        """Begin a bulk. See `ClientBulk`."""
        client = self._client
        return await client.run_flow(
            flows.start(client.client_id, do, wanted, client.patience_s, note=note, key=key)
        )

    async def get(self, run_id: str) -> BulkDocument:
        """Read how far a bulk is. See `ClientBulk`."""
        client = self._client
        return await client.run_flow(flows.get(client.client_id, run_id, client.patience_s))
