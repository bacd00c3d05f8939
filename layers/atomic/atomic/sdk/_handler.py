"""The neutral handler: one request in, one response out; the framework files only translate.

Plain and `async def` functions both run in synchronous and asynchronous frameworks.
"""

import asyncio
import inspect
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import copy_context
from functools import cached_property, partial
from typing import Any, Final, TypedDict, TypeVar

from atomic.protocol import headers
from atomic.sdk._context import BaseContext, Call
from atomic.sdk._documents import unknown_options
from atomic.sdk._functions import name_of, signature_of
from atomic.sdk._request import Request
from atomic.sdk._responses import HandlerResponse, Unreadable, failure, success
from atomic.sdk._step_call import NO_NAMES, Function, Names, Served
from atomic.sdk._transport import checked, has_api_key
from atomic.sdk._verification import SIGNING_SECRET, SignatureCheck, signing_secrets
from atomic.sdk.async_client import AsyncClient, require_aiohttp
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.client import Client
from atomic.sdk.context import Context
from atomic.sdk.errors import InvalidRequestError, SerializationError
from atomic.sdk.retry import Seconds, milliseconds, seconds

_log: Final = logging.getLogger("atomic.sdk")

Done = TypeVar("Done")


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
        checked("base_url", base_url)
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
        signed_url = self._signatures.check(request)
        try:
            document = json.loads(request.body)
            payload = document["payload"]
            call = Call(
                run_id=document["runId"],
                step_id=document["stepId"],
                workflow_name=document["workflowName"],
                idempotency_key=document["idempotencyKey"],
                attempt=document["attempt"],
                url=request.own_url(self._options.get("base_url") or "", signed_url),
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
        given = self._options.get("secrets") or signing_secrets()
        if not given and has_api_key():
            # An API key means a server that signs its calls. Under --dev there is none, and no warning.
            _log.warning("%s takes calls from anybody; set %s", name_of(self.function), SIGNING_SECRET)
        return SignatureCheck(given)


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
