"""The neutral handler: one request in, one response out; the framework files only translate.

Both colours of functions run in both colours of frameworks.
"""

import asyncio
import inspect
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack, overload
from urllib.parse import urlsplit

from atomic.protocol import headers
from atomic.sdk import _raw_path, _settings
from atomic.sdk._answers import HandlerResponse, Unreadable, failure, success
from atomic.sdk._context import BaseContext, Call
from atomic.sdk._documents import unknown_options
from atomic.sdk._functions import name_of, signature_of
from atomic.sdk._planning import NO_NAMES, Function, Names, Served
from atomic.sdk._raw_path import RawPath
from atomic.sdk._signed import SignatureCheck
from atomic.sdk._waits import OWN_S
from atomic.sdk.async_client import AsyncClient, require_aiohttp
from atomic.sdk.client import Client
from atomic.sdk.context import AsyncContext, Context
from atomic.sdk.errors import InvalidRequestError, SerializationError
from atomic.sdk.retry import Seconds, milliseconds, seconds

_log: Final = logging.getLogger("atomic.sdk")

View = TypeVar("View")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What came in: scheme, host and port, the path as it was sent, headers with lower-case names, the body
    as it was signed.

    `wait_s` is how long a handler waits for its steps on this server when its options do not say.
    """

    origin: str
    at: RawPath
    headers: Mapping[str, str]
    body: bytes
    wait_s: float = OWN_S


class EndpointOptions(TypedDict, total=False):
    """What an endpoint may be given; the environment stands in for most of it.

    `client`: the Client (of `def`) or AsyncClient (of `async def`) that posts its steps.
    `secrets`: signing secrets, one of which must have signed (ATOMIC_SIGNING_SECRET); none: no check.
    `base_url`: where Atomic reaches this application, when the request does not tell (ATOMIC_BASE_URL).
    `wait`: how long one call of a workflow waits for its steps before it suspends itself; left out, what
    fits the server: see docs/workers.md.
    """

    client: Client | AsyncClient
    secrets: Sequence[str]
    base_url: str
    wait: Seconds


def _check_options(function: Function, options: EndpointOptions) -> None:
    """Raise TypeError or ValueError for options that no call could use."""
    if unknown := unknown_options(options, EndpointOptions):
        raise TypeError(f"{name_of(function)}: {unknown}")
    secrets = options.get("secrets") or ()
    if isinstance(secrets, str):
        raise TypeError("secrets: give a list of them")
    SignatureCheck(secrets)
    if base_url := options.get("base_url"):
        _settings.checked("base_url", base_url)
    if "wait" in options:
        try:
            milliseconds("wait", options["wait"])
        except InvalidRequestError as error:
            raise ValueError(error.detail) from None


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
        _check_options(function, options)
        self.function = function
        self._names = names
        self._signature = signature_of(function, is_workflow=is_workflow)
        self.is_async = self._signature.is_async
        self.is_workflow = is_workflow
        self._options = options
        if (
            is_workflow
            and "client" in options
            and isinstance(options["client"], AsyncClient) is not self.is_async
        ):
            raise TypeError("give a Client to `def` workflows and an AsyncClient to `async def` ones")
        if is_workflow and self.is_async:
            require_aiohttp()

    def as_served(self, name: str) -> Served:
        """What contexts need to call the function by this name."""
        return Served(name, self._signature.takes, self._signature.returns)

    def answer(self, request: Request) -> HandlerResponse:
        """For frameworks that give a thread to each request."""
        begun = self._begin(request)
        return begun if isinstance(begun, HandlerResponse) else asyncio.run(begun)

    async def answer_async(self, request: Request) -> HandlerResponse:
        """For frameworks on an event loop."""
        if self._signature.may_block:
            begun = await _in_thread(lambda: self._begin(request))
        else:
            begun = self._begin(request)
        return begun if isinstance(begun, HandlerResponse) else await begun

    def _begin(self, request: Request) -> HandlerResponse | Coroutine[Any, Any, HandlerResponse]:
        """Call the function. What it leaves to be awaited is awaited by the answer's coroutine."""
        try:
            call, payload = self._read(request)
            context = self._context(call, request.wait_s)
            function = partial(self._signature.call, call, context, payload)
            result = context.call_handler(function) if isinstance(context, Context) else function()
            if inspect.isawaitable(result):
                return self._end(request, context, result)
            return self._success(result)
        except BaseException as error:
            return self._failure(request, error)

    async def _end(
        self, request: Request, context: Call | BaseContext, result: Awaitable[Any]
    ) -> HandlerResponse:
        try:
            if isinstance(context, AsyncContext):
                return self._success(await context.await_handler(result))
            return self._success(await result)
        except BaseException as error:
            return self._failure(request, error)

    def _success(self, result: Any) -> HandlerResponse:
        written = self._signature.returns.given(result, f"the result of {name_of(self.function)}")
        return success(written)

    def _failure(self, request: Request, error: BaseException) -> HandlerResponse:
        attempt, step = (request.headers.get(name, "?") for name in (headers.ATTEMPT, headers.STEP_ID))
        return failure(error, f"{name_of(self.function)} (attempt {attempt} of step {step})")

    def _read(self, request: Request) -> tuple[Call, Any]:
        """Who calls, and the payload as the function takes it."""
        called_url = self._signatures.check(request)
        try:
            document = json.loads(request.body)
            payload = document["payload"]
            call = Call(
                run_id=document["runId"],
                step_id=document["stepId"],
                workflow_name=document["workflowName"],
                idempotency_key=document["idempotencyKey"],
                attempt=document["attempt"],
                url=self._own_url(request, called_url),
                traceparent=request.headers.get(headers.TRACEPARENT, ""),
            )
        except (ValueError, KeyError, TypeError):
            raise Unreadable("This is an endpoint of Atomic's: start it through Atomic.") from None
        if self._signature.takes is None:
            return call, None
        try:
            return call, self._signature.takes.read(payload, "the payload")
        except SerializationError as misfit:
            raise Unreadable(misfit.detail) from None

    def _context(self, call: Call, wait_s: float) -> Call | BaseContext:
        if not self.is_workflow:
            return call
        wait_s = seconds(self._options.get("wait", wait_s))
        if isinstance(self._client, AsyncClient):
            return AsyncContext(call, self._client, wait_s, self._names)
        return Context(call, self._client, wait_s, self._names)

    @cached_property
    def _client(self) -> Client | AsyncClient:
        return self._options.get("client") or (AsyncClient() if self.is_async else Client())

    @cached_property
    def _signatures(self) -> SignatureCheck:
        given = self._options.get("secrets") or _settings.signing_secrets()
        if not given and _settings.has_api_key():
            # Who has a key talks to a locked server, which signs; under --dev nobody needs to be told.
            _log.warning(
                "%s takes calls from anybody; set %s", name_of(self.function), _settings.SIGNING_SECRET
            )
        return SignatureCheck(given)

    def _own_url(self, request: Request, called_url: str) -> str:
        """Where this endpoint is: as the application was told, else as Atomic signed, else as it sees."""
        base = self._options.get("base_url") or _settings.base_url()
        if base:
            return _raw_path.below(base, request.at.root) + request.at.path
        if called_url:
            parts = urlsplit(called_url)
            return f"{parts.scheme}://{parts.netloc}{parts.path}"
        return request.origin + request.at.root + request.at.path


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
        # A partial and an object that can be called have not all of them.
        if hasattr(endpoint.function, name):
            setattr(view, name, getattr(endpoint.function, name))
    return view


async def _in_thread(work: Callable[[], Done]) -> Done:
    """A thread for each call: in a shared pool, workflows would keep their steps from running."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Done] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        if not done.cancelled():
            outcome()

    def run() -> None:
        try:
            outcome = partial(done.set_result, work())
        except BaseException as raised:
            outcome = partial(done.set_exception, raised)
        loop.call_soon_threadsafe(settle, outcome)

    context = copy_context()
    threading.Thread(target=context.run, args=(run,), name="atomic-handler", daemon=True).start()
    return await done
