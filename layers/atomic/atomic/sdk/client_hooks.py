"""Hooks of a client: URLs that Atomic calls when something happens to its runs: `client.hooks`.

They are kept by the server. The `Hooks` of `Endpoints` are functions of an application, and something else.
"""

from collections.abc import Iterable

from atomic.protocol.enums import HookEvent
from atomic.protocol.hook_documents import HookDocument
from atomic.sdk._wire import client_hooks as flows
from atomic.sdk._wire.client_events import EventsOfAsyncClient, EventsOfClient


class ClientHooks:
    """The hooks of a `Client`, ten at most.

    Every method may raise `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
    """

    def __init__(self, client: EventsOfClient) -> None:
        self._client = client

    def put(
        self, name: str, url: str, on: HookEvent | Iterable[HookEvent], *, workflow_name: str | None = None
    ) -> HookDocument:
        """Create or replace a hook. It is told of what happens from then on.

        - `name`: letters, digits, `.`, `_` and `-`.
        - `url`: under a base URL of the client. It is called as a step is: signed, and retried.
        - `on`: of what it is told, one or several: "run.succeeded", "run.failed", "run.cancelled",
          "run.paused", "step.failed", which is of steps below a root, "event.opened", which is of events
          that wait for their result, or "schedule.missed", which is of times that passed without a run.
        - `workflow_name`: only of this workflow (default: of all).

        Returns the hook.

        Raises `InvalidRequestError`, `UrlNotAllowedError`, and `RefusedError` for too many hooks, or if
        another request changed the client at the same moment.
        """
        client = self._client
        return client.run_flow(flows.put(client.client_id, name, url, on, workflow_name, client.patience_s))

    def get(self, name: str) -> HookDocument:
        """Read a hook. Raises `NotFoundError`."""
        client = self._client
        return client.run_flow(flows.get(client.client_id, name, client.patience_s))

    def all(self) -> list[HookDocument]:
        """All hooks of the client, by name."""
        client = self._client
        return client.run_flow(flows.all_of(client.client_id, client.patience_s))

    def delete(self, name: str) -> None:
        """Delete a hook; deliveries that are under way go on. Raises `NotFoundError`."""
        client = self._client
        client.run_flow(flows.delete(client.client_id, name, client.patience_s))


class AsyncClientHooks:
    """The hooks of an `AsyncClient`: the methods of `ClientHooks`, to be awaited."""

    def __init__(self, client: EventsOfAsyncClient) -> None:
        self._client = client

    async def put(
        self, name: str, url: str, on: HookEvent | Iterable[HookEvent], *, workflow_name: str | None = None
    ) -> HookDocument:
        """Create or replace a hook. See `ClientHooks`."""
        client = self._client
        return await client.run_flow(
            flows.put(client.client_id, name, url, on, workflow_name, client.patience_s)
        )

    async def get(self, name: str) -> HookDocument:
        """Read a hook. See `ClientHooks`."""
        client = self._client
        return await client.run_flow(flows.get(client.client_id, name, client.patience_s))

    async def all(self) -> list[HookDocument]:
        """All hooks of the client, by name. See `ClientHooks`."""
        client = self._client
        return await client.run_flow(flows.all_of(client.client_id, client.patience_s))

    async def delete(self, name: str) -> None:
        """Delete a hook; deliveries that are under way go on. See `ClientHooks`."""
        client = self._client
        await client.run_flow(flows.delete(client.client_id, name, client.patience_s))
