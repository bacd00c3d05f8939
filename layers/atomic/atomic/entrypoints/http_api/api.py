"""What the routes need beside the request: the engine, the caller's rights, and its limits.

The headers of limits are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from atomic.application.admission import Refused, Reservation
from atomic.application.client_admin import ClientAdmin
from atomic.application.engine import Engine
from atomic.domain.clients.client import OPERATOR_SCOPE, Client, has_scope
from atomic.domain.steps import Step, StepSpec
from atomic.entrypoints.http_api.http import ApiRequest
from atomic.protocol import headers, keys
from atomic.protocol.problems import (
    NOT_FOUND,
    STORAGE_FULL,
    TOO_MANY_REQUESTS,
    UNAUTHORIZED,
    Problem,
    not_found,
)
from atomic.protocol.requests import Model, read_message

Done = TypeVar("Done")
# Whoever makes clients manages them, too, and does nothing in their place.
_OPERATED: Final = frozenset({"admin", OPERATOR_SCOPE})


class ManageClients(Protocol):
    """Where a runtime keeps its clients. Their stores block, so each runtime runs the work its own way."""

    def __call__(self, work: Callable[[ClientAdmin], Done], /) -> Awaitable[Done]:
        """Do the work beside the event loop.

        Raises what the work raises, and StoreUnavailable for the store.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The engine behind the API.

    `admits(run_id)` is False for new runs while a server shuts down. `estimated_usd` prices steps, where
    a runtime is paid by use. `manage` is None where no clients are kept.
    """

    engine: Engine
    admits: Callable[[str], bool] = lambda _run_id: True
    estimated_usd: Callable[[Sequence[Step]], float] | None = None
    manage: ManageClients | None = None


async def authorize(api: Api, request: ApiRequest, client_id: str, scope: str) -> Client:
    """The client that the path names, when the request's API key is its own and has the scope.

    The operator's key stands for any client, there or not, where clients are managed; only that one opens
    what belongs to no client (`client_id` is empty). Raises Problem 401 without a valid key, 404 when the
    key is another client's or lacks the scope, and where no clients are kept.
    """
    if scope == OPERATOR_SCOPE and api.manage is None:
        raise keeps_no_clients()
    scheme, _, api_key = request.headers.get(headers.AUTHORIZATION, "").partition(" ")
    given = api_key.strip() if scheme.lower() == "bearer" else None
    holder = await api.engine.clients.authenticate(given, client_id)
    if holder is None:
        raise Problem(
            UNAUTHORIZED,
            "Send the header `Authorization: Bearer <API key>`; `atomic clients create` makes a key.",
            headers={"www-authenticate": "Bearer"},
        )
    if client_id and not keys.is_client_id(client_id):
        raise not_found()
    if OPERATOR_SCOPE in holder.scopes and scope in _OPERATED:
        return replace(holder, id=client_id)
    if holder.id != client_id or not has_scope(holder.scopes, scope):
        raise not_found()
    return holder


def keeps_no_clients() -> Problem:
    """There is nothing to manage under `--dev`."""
    return Problem(
        NOT_FOUND,
        "This server keeps no clients and asks for no keys; start it without --dev to have some. POST "
        "to /{clientId} to start a step.",
    )


def of_another_client(owner: str, client_id: str) -> Problem:
    """A 404 where nobody has a key, and so whose it is is no secret."""
    return Problem(
        NOT_FOUND,
        f"This belongs to the client {owner!r}, and {client_id!r} asks for it: use the same client in both "
        "places (ATOMIC_CLIENT_ID, or the first part of the path).",
    )


async def in_turn(api: Api, client: Client, request: ApiRequest, work: Callable[[], Done]) -> Done:
    """Do what reads the request's body; a large one holds everybody up, so clients take turns."""
    return await api.engine.large_bodies.read(client.id, len(request.body), work)


async def read(api: Api, client: Client, request: ApiRequest, model: type[Model]) -> Model:
    """The request's body as a message; an empty one stands for an object without members.

    Raises Problem as `read_message` does.
    """
    return await in_turn(api, client, request, lambda: read_message(model, request.body or b"{}"))


async def reserve(api: Api, client: Client, spec: StepSpec) -> Reservation:
    """Raise Problem 429 or 507 for a new step that the client may not start now."""
    engine = api.engine
    reserved = await engine.admission.reserve(engine.store, client, spec, engine.clock.now_ms())
    if isinstance(reserved, Refused):
        raise _refusal(api, client, reserved)
    return reserved


async def charge_start(api: Api, client: Client) -> None:
    """Raise Problem 429 when the client may not start anything now; nothing is stored or lives on."""
    if refused := await api.engine.admission.charge(client, api.engine.clock.now_ms()):
        raise _refusal(api, client, refused)


def _refusal(api: Api, client: Client, refused: Refused) -> Problem:
    wait_s = -(-refused.wait_ms // 1000)
    retry_after = {headers.RETRY_AFTER: str(wait_s)}
    if refused.of == "storage":
        return Problem(STORAGE_FULL, refused.detail, headers=retry_after)
    more = rate_headers(api, client, wait_s)
    return Problem(TOO_MANY_REQUESTS, refused.detail, headers={**retry_after, **more})


def rate_headers(api: Api, client: Client, wait_s: int = 1) -> dict[str, str]:
    """How many starts are left, for clients that have a rate."""
    per_s = client.quota.starts_per_second
    if per_s is None:
        return {}
    return {
        "ratelimit-policy": f'"starts";q={max(1, int(per_s))};w=1',
        "ratelimit": f'"starts";r={api.engine.admission.starts_left(client)};t={wait_s}',
    }
