"""What the routes need beside the request."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from atomic.application.client_admin import ClientAdmin
from atomic.application.engine import Engine
from atomic.application.limits import ClientLimits
from atomic.application.ports import Client
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.messages import ApiRequest
from atomic.protocol import headers, keys
from atomic.protocol.problems import UNAUTHORIZED, Problem, not_found

Done = TypeVar("Done")


class ManageClients(Protocol):
    """Where a home keeps its clients. Stores of clients block, so each home does the work its own way."""

    def __call__(self, work: Callable[[ClientAdmin], Done], /) -> Awaitable[Done]:
        """Do the work beside the event loop.

        Raises what the work raises, and StoreUnavailable for the store.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The engine behind the API.

    `admits(run_id)` is False for new runs while a server shuts down. `estimated_usd` prices steps, where
    a home is paid by use. `manage` is None where no clients are kept.
    """

    engine: Engine
    admits: Callable[[str], bool] = lambda _run_id: True
    estimated_usd: Callable[[Sequence[Step]], float] | None = None
    limits: ClientLimits = field(default_factory=ClientLimits)
    manage: ManageClients | None = None


async def authorize(api: Api, request: ApiRequest, client_id: str, scope: str) -> Client:
    """The client that the path names, when the request's API key is its own and has the scope.

    Raises Problem 401 without a valid key, 404 when the key is another client's or lacks the scope.
    """
    scheme, _, api_key = request.headers.get(headers.AUTHORIZATION, "").partition(" ")
    given = api_key.strip() if scheme.lower() == "bearer" else None
    client = await api.engine.clients.authenticate(given, client_id)
    if client is None:
        raise Problem(
            UNAUTHORIZED,
            "Send the header `Authorization: Bearer <API key>`; `atomic clients create` makes a key.",
            headers={"www-authenticate": "Bearer"},
        )
    if client.id != client_id or not keys.is_client_id(client_id) or scope not in client.scopes:
        raise not_found()
    return client
