"""A route: its method and path, the scope it needs, the function that answers, and its description."""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from atomic.entrypoints.http_api.http import ApiResponse
from atomic.protocol import problems
from atomic.protocol.constants import PAGE_MAX

Handler = Callable[..., Awaitable[ApiResponse]]
Decorated = TypeVar("Decorated", bound=Handler)

# A route that needs a key may find no valid key, or another client's, or a store that does not answer.
_OF_KEYS: Final = (problems.UNAUTHORIZED, problems.NOT_FOUND, problems.UNAVAILABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The entry of a route in the API's description.

    `answers` are (status, model, description). The models, of `protocol.documents` and its neighbours, are
    given by name ("" for an answer without a body), not imported: only the description needs them, and a
    Lambda environment that answers a start should not load them. `refusals` does not contain the problems
    that every route with a scope may answer.
    """

    id: str
    summary: str
    description: str = ""
    query: tuple[dict[str, Any], ...] = ()
    headers: tuple[dict[str, Any], ...] = ()
    request: type[BaseModel] | None = None
    any_json_body: bool = False
    any_body: bool = False
    needs_body: bool = True
    answers: tuple[tuple[int, str, str], ...] = ()
    content_type: str | None = None
    refusals: tuple[problems.ProblemType, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path template.

    With a scope, a request needs a key that has it. If the path begins with a client's id, the key must
    belong to this client. `by_attempt`: a key for `start` is let through as well when the request has an
    attempt token, and the handler checks the token. `by_token`: a start token is let through as well, and
    the handler checks what it allows. `is_act`: its requests are in the audit log, under the operation's
    id. A route without an operation is not in the description.
    """

    method: str
    template: str
    handler: Handler
    scope: str
    operation: Operation | None
    by_attempt: bool = False
    by_token: bool = False
    is_act: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern that the paths of this route match."""
        # The name of a workflow may have slashes.
        parts = {"{workflowName}": "(.+)"}
        return re.compile(
            "/".join(
                parts.get(part, "([^/]+)") if part.startswith("{") else re.escape(part)
                for part in self.template.split("/")
            )
        )

    @property
    def names(self) -> list[str]:
        """The names of the parts of the path that are in braces, in their order."""
        return [part[1:-1] for part in self.template.split("/") if part.startswith("{")]

    @property
    def refusals(self) -> tuple[problems.ProblemType, ...]:
        """The problem types that the route may answer, besides those of every request."""
        own = self.operation.refusals if self.operation else ()
        return (*_OF_KEYS, *own) if self.scope else own


class Routes:
    """The routes of one resource, in the order in which the description lists them."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def add(
        self,
        method: str,
        template: str,
        operation: Operation | None,
        *,
        scope: str = "",
        by_attempt: bool = False,
        by_token: bool = False,
        is_act: bool = False,
    ) -> Callable[[Decorated], Decorated]:
        """Let the decorated function answer these requests.

        Its arguments are the Api, the request, the Client (only with a scope), and each part of the path
        that is in braces, except the client's id.
        """

        def decorate(handler: Decorated) -> Decorated:
            route = Route(method, template, handler, scope, operation, by_attempt, by_token, is_act)
            self._routes.append(route)
            return handler

        return decorate


def in_query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """A parameter of the query string, as OpenAPI describes it."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def in_header(name: str, description: str) -> dict[str, Any]:
    """A request header, as OpenAPI describes it."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


# The problems of every route that reads a body.
OF_BODIES: Final = (problems.INVALID_REQUEST, problems.TOO_LARGE)
PAGE: Final = (
    in_query("cursor", "Where the last page ended.", type="string"),
    in_query("limit", "How many on a page.", type="integer", minimum=1, maximum=PAGE_MAX),
)
