"""The contract of invokers: over HTTP to a local server, by Lambda, and by direct function calls."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from atomic.adapters.aws.buses import BusInvoker
from atomic.adapters.aws.calls import AwsCalls
from atomic.adapters.aws.config import events_client
from atomic.adapters.functions.invoker import ANSWER_MAX_BYTES, LambdaInvoker
from atomic.adapters.functions.signing import lambda_invoker
from atomic.adapters.http.addresses import is_public_or_private
from atomic.adapters.http.invoker import HttpInvoker
from atomic.adapters.otel.attempts import TracedInvoker
from atomic.adapters.otel.export import SpanExport
from atomic.adapters.otel.tracing import Tracing
from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse
from atomic.runtime.faults import Faults
from atomic.runtime.faulty_ports import FaultyInvoker
from atomic.testing import LocalAtomic
from atomic.testing.endpoints import EndpointCall, EndpointHandler, FunctionInvoker
from contract.builders import a_root
from contract.invoker_contract import InvokerContract, InvokerRuntime
from fake_lambda import ENVIRONMENT, Handler, fake_lambda
from scenarios.embedded_runtime import EndpointServer, free_port


class TestHttpInvoker(InvokerContract):
    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[InvokerRuntime]:
        invoker = HttpInvoker(allows=is_public_or_private)
        async with EndpointServer(free_port()).running() as server:
            served: list[str] = []

            def serve(handler: EndpointHandler) -> str:
                served.append(server.serve(f"/{len(served)}", handler))
                return served[-1]

            yield InvokerRuntime(invoker, serve, f"http://127.0.0.1:{free_port()}/")
            await invoker.close()


class TestTracedInvoker(InvokerContract):
    """It is the invoker that it has."""

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[InvokerRuntime]:
        exporter = SpanExport(InMemorySpanExporter())
        async with TestHttpInvoker().runtime() as plain:
            yield replace(plain, invoker=_WithinATrace(TracedInvoker(plain.invoker, Tracing(exporter))))
        exporter.shutdown()


class _WithinATrace:
    """Calls as attempts of a step are called."""

    def __init__(self, invoker: TracedInvoker) -> None:
        self._invoker = invoker

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        step = {"Atomic-Step-Id": a_root().id, "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
        sent = {**request.headers, **step}
        return await self._invoker.post(replace(request, headers=sent))


class TestLambdaInvoker(InvokerContract):
    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[InvokerRuntime]:
        endpoints = HttpInvoker(allows=is_public_or_private)
        api = HttpInvoker(allows=is_public_or_private, body_max_bytes=ANSWER_MAX_BYTES)
        with fake_lambda() as (at, fake), patch.dict(os.environ, ENVIRONMENT):
            environ = {**ENVIRONMENT, "AWS_ENDPOINT_URL": at}
            invoker: LambdaInvoker = lambda_invoker(endpoints, api, environ)
            loop = asyncio.get_running_loop()

            def serve(handler: EndpointHandler) -> str:
                name = f"endpoint-{len(fake.functions)}"
                fake.functions[name] = served_by(handler, loop)
                return f"lambda:{name}/path"

            yield InvokerRuntime(invoker, serve, f"http://127.0.0.1:{free_port()}/")
            await endpoints.close()
            await api.close()


def served_by(handler: EndpointHandler, loop: asyncio.AbstractEventLoop) -> Handler:
    """An endpoint as a function; it runs on the loop of the test."""

    def function(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
        call = EndpointCall(url="", headers=event["headers"], body=event["body"].encode())
        reply = asyncio.run_coroutine_threadsafe(_reply(handler, call), loop).result()
        headers, body = reply.content()
        text = base64.b64encode(body).decode()
        return {"statusCode": reply.status, "headers": headers, "body": text, "isBase64Encoded": True}

    return function


async def _reply(handler: EndpointHandler, call: EndpointCall) -> Any:
    return await handler(call)


class TestFunctionInvoker(InvokerContract):
    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[InvokerRuntime]:
        invoker = FunctionInvoker()

        def serve(handler: EndpointHandler) -> str:
            url = f"https://app.test/{len(invoker.handlers)}"
            invoker.handlers[url] = handler
            return url

        yield InvokerRuntime(invoker, serve, "https://nowhere.test/")


class TestBusInvoker(InvokerContract):
    """For all other URLs it is the invoker that it is around; `unit/aws/test_event_bus` has buses."""

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[InvokerRuntime]:
        endpoints, calls = FunctionInvoker(), AwsCalls(1)

        def serve(handler: EndpointHandler) -> str:
            url = f"https://app.test/{len(endpoints.handlers)}"
            endpoints.handlers[url] = handler
            return url

        yield InvokerRuntime(BusInvoker(endpoints, calls, events_client), serve, "https://nowhere.test/")
        calls.close()


class TestFaultyInvoker(InvokerContract):
    """Without a row to which a fault could happen, it is the invoker that it is around."""

    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[InvokerRuntime]:
        async with LocalAtomic(faults=Faults("hostile")) as atomic:
            invoker = atomic.engine.invoker
            assert isinstance(invoker, FaultyInvoker)
            served: list[str] = []

            def serve(handler: EndpointHandler) -> str:
                served.append(atomic.endpoint(f"/{len(served)}", handler))
                return served[-1]

            yield InvokerRuntime(invoker, serve, "https://nowhere.test/")
