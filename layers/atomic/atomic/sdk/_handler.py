"""The neutral handler: one request in, one response out; the framework files only translate.

Both colours of functions run in both colours of frameworks.
"""

import asyncio
import inspect
import json
import logging
import threading
import time
import typing
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack, overload
from urllib.parse import urlsplit

from pydantic import ValidationError

from atomic.protocol import headers
from atomic.sdk import _settings
from atomic.sdk._answers import Response, Unreadable, failure, misfit, success
from atomic.sdk._context import BaseContext, Call
from atomic.sdk._planning import NO_NAMES, Function, Names, adapter
from atomic.sdk._signed import SignatureCheck
from atomic.sdk._waits import OWN_S, Waits
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.context import AsyncContext, Context
from atomic.sdk.retry import Seconds, seconds

_log: Final = logging.getLogger("atomic.sdk")

View = TypeVar("View")
_CONTEXTS: Final = (Call, BaseContext)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in: the URL as it was called, headers with lower-case names, the body as it was signed.

    `wait_s` is how long a handler waits for its steps on this server when its options do not say.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes
    wait_s: float = OWN_S


class EndpointOptions(TypedDict, total=False):
    """What an endpoint may be given; the environment stands in for most of it.

    `client`: the Client (of `def`) or AsyncClient (of `async def`) that posts its steps.
    `secrets`: signing secrets, one of which must have signed (ATOMIC_SIGNING_SECRET); none: no check.
    `base_url`: where Atomic reaches this application, when the request does not tell (ATOMIC_BASE_URL).
    `hang`: how long one call of a workflow waits for its steps before it suspends itself; left out, what
    fits the server: see `atomic.sdk._waits`.
    """

    client: Client | AsyncClient
    secrets: typing.Sequence[str]
    base_url: str
    hang: Seconds


class Endpoint:
    """A function of the user's as an endpoint of Atomic's; `names` are those of the functions beside it."""

    def __init__(
        self,
        function: Function,
        *,
        is_workflow: bool,
        options: EndpointOptions,
        names: Names = NO_NAMES,
    ) -> None:
        self.function = function
        self._names = names
        self.is_async = inspect.iscoroutinefunction(function)
        self._is_workflow = is_workflow
        self._options = options
        self._waits = Waits()
        if (
            is_workflow
            and "client" in options
            and isinstance(options["client"], AsyncClient) is not self.is_async
        ):
            raise TypeError("give a Client to `def` workflows and an AsyncClient to `async def` ones")

    def answer(self, request: Request) -> Response:
        """For frameworks that give a thread to each request."""
        if self.is_async:
            return asyncio.run(self.answer_async(request))
        context: Call | BaseContext | None = None
        try:
            call, payload = self._read(request)
            context = self._context(call, request.wait_s)
            return success(self.function(**self._arguments(context, payload)))
        except BaseException as error:
            return failure(error, _unfinished(context))

    def answer_sparingly(self, request: Request, longest_s: float) -> Response:
        """For servers where a handler that waits holds what its steps may need; see `Waits`."""
        is_first, began_s = request.headers.get(headers.ATTEMPT) == "1", time.monotonic()
        wait_s = self._waits.next_s(longest_s, is_first=is_first)
        response = self.answer(replace(request, wait_s=wait_s))
        if is_first:
            self._waits.saw(wait_s, time.monotonic() - began_s, suspended=response.status == 202)
        return response

    async def answer_async(self, request: Request) -> Response:
        """For frameworks on an event loop."""
        if not self.is_async:
            return await _in_thread(lambda: self.answer(request))
        context: Call | BaseContext | None = None
        try:
            call, payload = self._read(request)
            context = self._context(call, request.wait_s)
            return success(await self.function(**self._arguments(context, payload)))
        except BaseException as error:
            return failure(error, _unfinished(context))
        finally:
            if isinstance(context, AsyncContext):
                context.abandon()

    def _read(self, request: Request) -> tuple[Call, Any]:
        self._signatures.check(request)
        try:
            document = json.loads(request.body)
            payload = document["payload"]
            call = Call(
                run_id=document["runId"],
                step_id=document["stepId"],
                workflow_name=document["workflowName"],
                idempotency_key=document["idempotencyKey"],
                attempt=document["attempt"],
                url=self._own_url(request.url),
                traceparent=request.headers.get(headers.TRACEPARENT, ""),
            )
        except (ValueError, KeyError, TypeError):
            raise Unreadable("This is an endpoint of Atomic's: start it through Atomic.") from None
        return call, payload

    def _context(self, call: Call, wait_s: float) -> Call | BaseContext:
        if not self._is_workflow:
            return call
        hang_s = seconds(self._options.get("hang", wait_s))
        if isinstance(self._client, AsyncClient):
            context = AsyncContext(call, self._client, hang_s, self._names)
            context.begin()
            return context
        return Context(call, self._client, hang_s, self._names)

    def _arguments(self, context: Call | BaseContext, payload: Any) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name, annotation in self._parameters.items():
            if _is_context(name, annotation):
                given[name] = context
            elif annotation is Any:
                given[name] = payload
            else:
                given[name] = _validated(annotation, payload)
        return given

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        # At the first call, when every name that the annotations use is defined.
        hints = typing.get_type_hints(self.function)
        given: dict[str, Any] = {}
        takes_payload = ""
        for name, parameter in inspect.signature(self.function).parameters.items():
            annotation = hints.get(name, Any)
            if not _is_context(name, annotation):
                if takes_payload and parameter.default is parameter.empty:
                    raise TypeError(f"{takes_payload!r} takes the payload; give {name!r} a default")
                if takes_payload:
                    continue
                takes_payload = name
            given[name] = annotation
        return given

    @cached_property
    def _client(self) -> Client | AsyncClient:
        return self._options.get("client") or (AsyncClient() if self.is_async else Client())

    @cached_property
    def _signatures(self) -> SignatureCheck:
        given = self._options.get("secrets") or _settings.signing_secrets()
        if not given and _settings.connection(None, None, None).api_key:
            # Who has a key talks to a locked server, which signs; under --dev nobody needs to be told.
            _log.warning(
                "%s takes calls from anybody; set %s", self.function.__qualname__, _settings.SIGNING_SECRET
            )
        return SignatureCheck(given)

    def _own_url(self, called: str) -> str:
        parts = urlsplit(called)
        base = self._options.get("base_url") or _settings.base_url()
        return (base.rstrip("/") if base else f"{parts.scheme}://{parts.netloc}") + parts.path


class Decorator(Generic[View]):
    """`@workflow` or `@step` of a framework, bare or with options."""

    def __init__(self, view: Callable[[Endpoint], View], *, is_workflow: bool) -> None:
        self._view = view
        self._is_workflow = is_workflow

    @overload
    def __call__(self, function: Function, /) -> View: ...
    @overload
    def __call__(self, **options: Unpack[EndpointOptions]) -> Callable[[Function], View]: ...
    def __call__(
        self, *functions: Function, **options: Unpack[EndpointOptions]
    ) -> View | Callable[[Function], View]:
        """Make the function an endpoint. A parameter that is annotated as (or called) the context gets it,
        the other one gets the payload, validated by its annotation."""
        if not functions:
            return lambda function: self._make(function, options)
        [function] = functions
        return self._make(function, options)

    def _make(self, function: Function, options: EndpointOptions) -> View:
        return named_view(self._view, Endpoint(function, is_workflow=self._is_workflow, options=options))


def named_view(view_of: Callable[[Endpoint], View], endpoint: Endpoint) -> View:
    """A framework's view of an endpoint, which goes by the names of the user's function."""
    view = view_of(endpoint)
    # Not functools.wraps: frameworks read signatures, and this one has the framework's.
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(view, name, getattr(endpoint.function, name, None))
    return view


def _is_context(name: str, annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, _CONTEXTS):
        return True
    return annotation is Any and name in {"ctx", "context", "call"}


def _validated(annotation: Any, payload: Any) -> Any:
    try:
        return adapter(annotation).validate_python(payload)
    except ValidationError as error:
        raise misfit(error) from None


def _unfinished(context: Call | BaseContext | None) -> list[str]:
    return context.unfinished if isinstance(context, BaseContext) else []


async def _in_thread(work: Callable[[], Response]) -> Response:
    """A thread for each call: in a shared pool, workflows would keep their steps from running."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Response] = loop.create_future()

    def settle(response: Response | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if response is None:
            done.set_exception(error or RuntimeError("no response"))
        else:
            done.set_result(response)

    def run() -> None:
        try:
            outcome: tuple[Response | None, BaseException | None] = (work(), None)
        except BaseException as raised:
            outcome = (None, raised)
        loop.call_soon_threadsafe(settle, *outcome)

    context = copy_context()
    threading.Thread(target=context.run, args=(run,), name="atomic-handler", daemon=True).start()
    return await done
