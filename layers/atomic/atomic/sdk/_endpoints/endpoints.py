"""Functions as endpoints, alone or below one prefix. The framework modules only mount them.

Plain and `async def` functions both run in synchronous and asynchronous frameworks.
"""

import asyncio
import inspect
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import cached_property, partial
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack, overload

from pydantic_core import from_json

from atomic.protocol import headers
from atomic.sdk._calls.call import Call
from atomic.sdk._calls.context import NO_NAMES, BaseContext, Function, Names, Served
from atomic.sdk._endpoints.functions import name_of, signature_of
from atomic.sdk._endpoints.serving import (
    SIGNING_SECRET,
    Request,
    SignatureCheck,
    build_of,
    in_thread,
    signing_secrets,
)
from atomic.sdk._wire.answers import HandlerResponse, Unreadable, failure, marked, success
from atomic.sdk._wire.api import unknown_options
from atomic.sdk._wire.sessions import require_aiohttp
from atomic.sdk._wire.transport import checked, has_api_key
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.client import Client
from atomic.sdk.context import Context
from atomic.sdk.errors import InvalidRequestError, SerializationError
from atomic.sdk.retry import Seconds, milliseconds, seconds

_log: Final = logging.getLogger("atomic.sdk")

App = TypeVar("App")
View = TypeVar("View")
AnyFunction = TypeVar("AnyFunction", bound=Function)

# One segment of a path, so that a function's name is also its URL relative to the others.
_NAME: Final = re.compile(r"[A-Za-z0-9_~-]+")


class EndpointOptions(TypedDict, total=False):
    """Options of an endpoint. Most have a default in the environment.

    `client`: the Client (of `def`) or AsyncClient (of `async def`) that posts its steps.
    `secrets`: signing secrets, one of which must have signed (ATOMIC_SIGNING_SECRET); none: no check.
    `base_url`: where Atomic reaches this application, if the request does not tell (ATOMIC_BASE_URL).
    `wait`: how long one call of a workflow waits for its steps before it is suspended; the default depends
    on the server: see docs/workers.md.
    `build`: which build of the application this is (ATOMIC_BUILD). Each answer tells it to Atomic.
    """

    client: Client | AsyncClient
    secrets: Sequence[str]
    base_url: str
    wait: Seconds
    build: str


def _check_options(function: Function, options: EndpointOptions) -> None:
    """Raise TypeError or ValueError for invalid options."""
    if unknown := unknown_options(options, EndpointOptions):
        raise TypeError(f"{name_of(function)}: {unknown}")
    secrets = options.get("secrets") or ()
    if isinstance(secrets, str):
        raise TypeError("secrets: give a list of them")
    SignatureCheck(secrets)
    if base_url := options.get("base_url"):
        checked("base_url", base_url)
    if "wait" in options:
        try:
            milliseconds("wait", options["wait"])
        except InvalidRequestError as error:
            raise ValueError(error.detail) from None


class Endpoint:
    """A user's function as an endpoint; `names` are the names of the functions served beside it."""

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
        self._build = build_of(options.get("build"))
        if (
            is_workflow
            and "client" in options
            and isinstance(options["client"], AsyncClient) is not self.is_async
        ):
            raise TypeError("give a Client to `def` workflows and an AsyncClient to `async def` ones")
        if is_workflow and self.is_async:
            require_aiohttp()

    def as_served(self, name: str) -> Served:
        """The function as contexts see it, under this name."""
        return Served(name, self._signature.takes, self._signature.returns)

    def answer(self, request: Request) -> HandlerResponse:
        """Answer a request, for frameworks that give a thread to each request."""
        begun = self._begin(request)
        return begun if isinstance(begun, HandlerResponse) else asyncio.run(begun)

    async def answer_async(self, request: Request) -> HandlerResponse:
        """Answer a request, for frameworks on an event loop."""
        if self._signature.may_block:
            begun = await in_thread(lambda: self._begin(request))
        else:
            begun = self._begin(request)
        return begun if isinstance(begun, HandlerResponse) else await begun

    def _begin(self, request: Request) -> HandlerResponse | Coroutine[Any, Any, HandlerResponse]:
        """Call the function. If its result must be awaited, this returns a coroutine that does so."""
        try:
            call, payload = self._read(request)
            context = self._context(call, request.wait_s)
            function = partial(self._signature.call, call, context, payload)
            result = context.call_handler(function) if isinstance(context, Context) else function()
            if inspect.isawaitable(result):
                return self._end(request, context, result)
            return self._success(context, result)
        except BaseException as error:
            return self._failure(request, error)

    async def _end(
        self, request: Request, context: Call | BaseContext, result: Awaitable[Any]
    ) -> HandlerResponse:
        try:
            if isinstance(context, AsyncContext):
                return self._success(context, await context.await_handler(result))
            return self._success(context, await result)
        except BaseException as error:
            return self._failure(request, error)

    def _success(self, context: Call | BaseContext, result: Any) -> HandlerResponse:
        if isinstance(result, HandlerResponse):
            # The endpoint answers later.
            return marked(result, self._build)
        written = self._signature.returns.given(result, f"the result of {name_of(self.function)}")
        unused = context.unused_results if isinstance(context, BaseContext) else 0
        return marked(success(written), self._build, unused)

    def _failure(self, request: Request, error: BaseException) -> HandlerResponse:
        attempt, step = (request.headers.get(name, "?") for name in (headers.ATTEMPT, headers.STEP_ID))
        where = f"{name_of(self.function)} (attempt {attempt} of step {step})"
        return marked(failure(error, where), self._build)

    def _read(self, request: Request) -> tuple[Call, Any]:
        """The call, and the payload as the type that the function takes."""
        signed_url = self._signatures.check(request)
        try:
            document = from_json(request.body)
            payload = document["payload"]
            call = Call(
                run_id=document["runId"],
                step_id=document["stepId"],
                workflow_name=document["workflowName"],
                idempotency_key=document["idempotencyKey"],
                attempt=document["attempt"],
                url=request.own_url(self._options.get("base_url") or "", signed_url),
                traceparent=request.headers.get(headers.TRACEPARENT, ""),
                attempt_token=request.headers.get(headers.ATTEMPT_TOKEN, ""),
                steps_url=request.headers.get(headers.STEPS_URL, ""),
            )
        except (ValueError, KeyError, TypeError):
            raise Unreadable("This is an endpoint for Atomic: start it through Atomic.") from None
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
            return AsyncContext(call, self._client, wait_s, self._names, self._build)
        return Context(call, self._client, wait_s, self._names, self._build)

    @cached_property
    def _client(self) -> Client | AsyncClient:
        return self._options.get("client") or (AsyncClient() if self.is_async else Client())

    @cached_property
    def _signatures(self) -> SignatureCheck:
        given = self._options.get("secrets") or signing_secrets()
        if not given and has_api_key():
            # A server that needs an API key signs its calls. With --dev there is no key, and no warning.
            _log.warning("%s takes calls from anybody; set %s", name_of(self.function), SIGNING_SECRET)
        return SignatureCheck(given)


class Decorator(Generic[View]):
    """`@workflow` or `@step` of a framework, bare or with options: makes a function the framework's view.

    One parameter of the function gets the payload, validated by its annotation. A parameter that is
    annotated as a context or `Call` gets this object.
    """

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
        """Make a function an endpoint.

        - `functions`: the function, when the decorator has no options.
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).
        - `build`: which build of the application this is, such as its commit, in up to 64 characters
          (default: ATOMIC_BUILD, else none).

        Returns a view or handler of the framework.

        Raises TypeError for a function that cannot be called by Atomic, or an option that does
        not exist, and ValueError for an invalid name or option.
        """
        if not functions:
            return lambda function: self._make(function, options)
        [function] = functions
        return self._make(function, options)

    def _make(self, function: Function, options: EndpointOptions) -> View:
        return named_view(self._view, Endpoint(function, is_workflow=self._is_workflow, options=options))


def named_view(view_of: Callable[[Endpoint], View], endpoint: Endpoint) -> View:
    """A framework's view of an endpoint, with the names of the user's function."""
    view = view_of(endpoint)
    # Not functools.wraps: frameworks read signatures, and the view must keep its own.
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        # A partial or a callable object does not have all of these attributes.
        if hasattr(endpoint.function, name):
            setattr(view, name, getattr(endpoint.function, name))
    return view


class BaseEndpoints:
    """Functions that are served below one prefix: POST {prefix}/{name} calls the function of that name.

    The functions themselves are not changed. Workflows call a step by its function or by its URL.
    """

    def __init__(
        self, prefix: str = "", *, steps: Iterable[Function] = (), **options: Unpack[EndpointOptions]
    ) -> None:
        self._folder = f"{prefix.strip('/')}/".lstrip("/")
        self._shared = options
        self._names: dict[Function, Served] = {}
        # Endpoints by path, without a leading slash, for frameworks that mount them later.
        self._endpoints: dict[str, Endpoint] = {}
        for function in steps:
            self.step(function)

    @overload
    def workflow(self, function: AnyFunction, /) -> AnyFunction: ...
    @overload
    def workflow(
        self, *, name: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Callable[[AnyFunction], AnyFunction]: ...
    def workflow(
        self, *functions: Function, name: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Any:
        """Serve a workflow: a function that calls steps. A decorator, bare or with options.

        One parameter gets the payload, validated by its annotation. A parameter that is annotated as a
        context or `Call` gets this object.

        - `functions`: the function, when the decorator has no options.
        - `name`: the last part of its URL (default: the name of the function).
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).
        - `build`: which build of the application this is, such as its commit, in up to 64 characters
          (default: ATOMIC_BUILD, else none).

        Returns the function as it is, so that other code and tests may call it.

        Raises TypeError for a function that cannot be called by Atomic, or an option that does
        not exist, and ValueError for an invalid name or option.
        """
        return self._served(functions, name, options, is_workflow=True)

    @overload
    def step(self, function: AnyFunction, /) -> AnyFunction: ...
    @overload
    def step(
        self, *, name: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Callable[[AnyFunction], AnyFunction]: ...
    def step(
        self, *functions: Function, name: str | None = None, **options: Unpack[EndpointOptions]
    ) -> Any:
        """Serve a step: a function that has an effect. A decorator, bare or with options.

        One parameter gets the payload, validated by its annotation. A parameter that is annotated as a
        context or `Call` gets this object.

        - `functions`: the function, when the decorator has no options.
        - `name`: the last part of its URL (default: the name of the function).
        - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
          steps of a workflow (default: one that takes its settings from the environment).
        - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a
          call (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
        - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that
          Atomic signed, else what the request shows).
        - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
          suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on
          Lambda).
        - `build`: which build of the application this is, such as its commit, in up to 64 characters
          (default: ATOMIC_BUILD, else none).

        Returns the function as it is, so that other code and tests may call it.

        Raises TypeError for a function that cannot be called by Atomic, or an option that does
        not exist, and ValueError for an invalid name or option.
        """
        return self._served(functions, name, options, is_workflow=False)

    def _served(
        self, functions: tuple[Function, ...], name: str | None, own: EndpointOptions, *, is_workflow: bool
    ) -> Any:
        options: EndpointOptions = {**self._shared, **own}

        def serve(function: Function) -> Function:
            named = str(getattr(function, "__name__", "")) if name is None else name
            self._check_name(function, named)
            endpoint = Endpoint(function, is_workflow=is_workflow, options=options, names=self._names)
            self._names[function] = endpoint.as_served(named)
            self._add(self._folder + named, endpoint)
            return function

        return serve(*functions) if functions else serve

    def _add(self, path: str, endpoint: Endpoint) -> None:
        """Serve an endpoint at a path."""
        self._endpoints[path] = endpoint

    def _check_name(self, function: Function, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a segment of a path: give {function!r} a name=")
        if function in self._names or any(served.name == name for served in self._names.values()):
            raise ValueError(f"{name!r} is served already: give {function!r} another name=")


class MountedEndpoints(BaseEndpoints, ABC, Generic[App]):
    """Endpoints of an application whose routes are added one by one."""

    def __init__(
        self,
        app: App,
        prefix: str = "",
        *,
        steps: Iterable[Function] = (),
        **options: Unpack[EndpointOptions],
    ) -> None:
        self._app = app
        super().__init__(prefix, steps=steps, **options)

    @abstractmethod
    def _add(self, path: str, endpoint: Endpoint) -> None:
        """Route every POST of the path to the endpoint."""
