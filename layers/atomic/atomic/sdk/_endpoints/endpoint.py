"""One function as an endpoint: a call of Atomic comes in, and the function's result or error goes out.

Plain and `async def` functions both run in synchronous and asynchronous frameworks.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Coroutine, Sequence
from contextvars import copy_context
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Final, TypedDict

from pydantic_core import from_json

from atomic.protocol import headers
from atomic.sdk._calls.call import Call
from atomic.sdk._calls.context import BaseContext
from atomic.sdk._calls.hooks import HandlerCall, HasEnd, Hooks, Observers, check_hooks, unobserved
from atomic.sdk._calls.served import NO_NAMES, Function, Names, Served
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
from atomic.sdk._wire.codecs import Codec, Coder
from atomic.sdk._wire.in_process import CURRENT
from atomic.sdk._wire.sessions import require_aiohttp
from atomic.sdk._wire.transport import checked, has_api_key
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.client import Client
from atomic.sdk.context import Context
from atomic.sdk.errors import InvalidRequestError, RunCancelledError, SerializationError
from atomic.sdk.retry import Seconds, milliseconds, seconds

_log: Final = logging.getLogger("atomic.sdk")


class EndpointOptions(TypedDict, total=False):
    """Options of an endpoint. Most have a default in the environment.

    `client`: the Client (of `def`) or AsyncClient (of `async def`) that posts its steps.
    `secrets`: signing secrets, one of which must have signed (ATOMIC_SIGNING_SECRET); none: no check.
    `base_url`: where Atomic reaches this application, if the request does not tell (ATOMIC_BASE_URL).
    `wait`: how long one call of a workflow waits for its steps before it is suspended; the default depends
    on the server: see docs/workers.md.
    `build`: which build of the application this is (ATOMIC_BUILD). Each answer tells it to Atomic.
    `hooks`: what watches its calls; see `Hooks`.
    `codec`: what encodes its values (that of the option `client`).
    """

    client: Client | AsyncClient
    secrets: Sequence[str]
    base_url: str
    wait: Seconds
    build: str
    hooks: Sequence[Hooks]
    codec: Codec


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
    check_hooks(options.get("hooks", ()))
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
        self._observers = Observers(options.get("hooks", ()))
        client = options.get("client")
        self._coder = Coder(options.get("codec") or (client.codec if client is not None else None))
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
        context = copy_context()
        begun = context.run(self._begin, request)
        if isinstance(begun, HandlerResponse):
            return begun
        with asyncio.Runner() as runner:
            return runner.run(begun, context=context)

    async def answer_async(self, request: Request) -> HandlerResponse:
        """Answer a request, for frameworks on an event loop."""
        if not self._signature.may_block:
            begun = self._begin(request)
            return begun if isinstance(begun, HandlerResponse) else await begun
        # What the function sets in its context is there when its result is awaited.
        context = copy_context()
        begun = await in_thread(context, partial(self._begin, request))
        if isinstance(begun, HandlerResponse):
            return begun
        return await asyncio.get_running_loop().create_task(begun, context=context)

    def _begin(self, request: Request) -> HandlerResponse | Coroutine[Any, Any, HandlerResponse]:
        """Call the function. If its result must be awaited, this returns a coroutine that does so."""
        ended = unobserved
        try:
            call, payload = self._read(request)
            if call.cancelled and not self.is_workflow:
                raise RunCancelledError("A step has nothing to undo, so it is not called again.")
            ended = self._starts(call)
            context = self._context(call, request.wait_s)
            function = partial(self._signature.call, call, context, payload)
            result = context.call_handler(function) if isinstance(context, Context) else function()
            if inspect.isawaitable(result):
                return self._end(request, context, result, ended)
            return self._success(context, result, ended)
        except BaseException as error:
            return self._failure(request, error, ended)

    async def _end(
        self, request: Request, context: Call | BaseContext, result: Awaitable[Any], ended: HasEnd
    ) -> HandlerResponse:
        try:
            if isinstance(context, AsyncContext):
                return self._success(context, await context.await_handler(result), ended)
            return self._success(context, await result, ended)
        except BaseException as error:
            return self._failure(request, error, ended)

    def _starts(self, call: Call) -> HasEnd:
        observers = self._watching
        if not observers:
            return unobserved
        name = name_of(self.function)
        return observers.starts("call", HandlerCall(call=call, function=name, is_workflow=self.is_workflow))

    def _success(self, context: Call | BaseContext, result: Any, ended: HasEnd) -> HandlerResponse:
        if isinstance(result, HandlerResponse):
            # The endpoint answers later.
            ended(is_postponed=True)
            return marked(result, self._build)
        what = f"the result of {name_of(self.function)}"
        given = self._signature.returns.given(result, what)
        written = self._coder.result(given, context.step_id, "step", what).newest
        unused = context.unused_results if isinstance(context, BaseContext) else 0
        response = marked(success(written), self._build, unused)
        ended()
        return response

    def _failure(self, request: Request, error: BaseException, ended: HasEnd) -> HandlerResponse:
        ended(error)
        attempt, step = (request.headers.get(name, "?") for name in (headers.ATTEMPT, headers.STEP_ID))
        where = f"{name_of(self.function)} (attempt {attempt} of step {step})"
        return marked(failure(error, where), self._build)

    def _read(self, request: Request) -> tuple[Call, Any]:
        """The call, and the payload as the type that the function takes."""
        # A test that calls its application in its own process has no secret to sign with.
        signed_url = "" if CURRENT.get() is not None else self._signatures.check(request)
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
                continued_from=document.get("continuedFrom"),
                cancelled=document.get("cancelled") is True,
                scheduled_at=_moment(request, headers.SCHEDULED_AT),
                last_scheduled_at=_moment(request, headers.LAST_SCHEDULED_AT),
            )
        except (ValueError, KeyError, TypeError):
            raise Unreadable("This is an endpoint for Atomic: start it through Atomic.") from None
        if self._signature.takes is None:
            return call, None
        payload = self._coder.read_payload(payload, call.step_id)
        try:
            return call, self._signature.takes.read(payload, "the payload")
        except SerializationError as misfit:
            raise Unreadable(misfit.detail) from None

    def _context(self, call: Call, wait_s: float) -> Call | BaseContext:
        if not self.is_workflow:
            return call
        wait_s = seconds(self._options.get("wait", wait_s))
        about = (self._names, self._build, self._watching, self._coder)
        if isinstance(self._client, AsyncClient):
            return AsyncContext(call, self._client, wait_s, *about)
        return Context(call, self._client, wait_s, *about)

    @property
    def _watching(self) -> Observers:
        """The hooks of this endpoint, and those of a test in this process."""
        current = CURRENT.get()
        if current is None:
            return self._observers
        return Observers((*self._options.get("hooks", ()), *current.hooks))

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


def _moment(request: Request, name: str) -> datetime | None:
    text = request.headers.get(name)
    return None if text is None else datetime.fromisoformat(text)
