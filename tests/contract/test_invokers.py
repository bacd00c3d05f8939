"""The contract of invokers: over HTTP to a local server, and by direct function calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from atomic.adapters.http.addresses import is_public_or_private
from atomic.adapters.http.invoker import HttpInvoker
from atomic.testing.endpoints import EndpointHandler, FunctionInvoker
from contract.invoker_contract import InvokerContract, InvokerRuntime
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


class TestFunctionInvoker(InvokerContract):
    @asynccontextmanager
    async def runtime(self) -> AsyncIterator[InvokerRuntime]:
        invoker = FunctionInvoker()

        def serve(handler: EndpointHandler) -> str:
            url = f"https://app.test/{len(invoker.handlers)}"
            invoker.handlers[url] = handler
            return url

        yield InvokerRuntime(invoker, serve, "https://nowhere.test/")
