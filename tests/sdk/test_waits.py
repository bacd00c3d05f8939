"""The default wait of a handler's posts on each kind of server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from flask import Flask

from atomic.protocol import problems
from atomic.sdk import AsyncClient, AsyncContext, Client, Context, fastapi, flask
from atomic.sdk._endpoints.serving import Threads
from atomic.sdk.aws_lambda import Endpoints as LambdaEndpoints
from atomic.sdk.retry import Seconds
from sdk.django_sites import Asgi, Wsgi, mounted
from sdk.fake_api import fake_api
from sdk.test_aws_lambda import Gateway
from sdk.threads import asgi_server, wsgi_server
from sdk.world import Route

Serve = Callable[[Callable[..., Any], dict[str, Any]], AbstractContextManager[str]]
NOT_FINISHED: Any = (504, {"Retry-After": "1"}, {"type": problems.NOT_FINISHED.uri, "id": "run_0-1"})
CALL = {"runId": "run_0", "stepId": "run_0-root", "workflowName": "w", "idempotencyKey": "k", "attempt": 1}


def flask_by(server: Any) -> Serve:
    def serve(function: Callable[..., Any], options: dict[str, Any]) -> AbstractContextManager[str]:
        app = Flask("waits")
        flask.Endpoints(app, **options).workflow(name="w")(function)
        return server(app)  # type: ignore[no-any-return]

    return serve


def django_by(django_for: Any, server: Any) -> Serve:
    def serve(function: Callable[..., Any], options: dict[str, Any]) -> AbstractContextManager[str]:
        route = Route(path="/w", function=function, is_workflow=True, options=options)
        return server(django_for(mounted([route])))  # type: ignore[no-any-return]

    return serve


@contextmanager
def on_fastapi(function: Callable[..., Any], options: dict[str, Any]) -> Iterator[str]:
    app = FastAPI()
    fastapi.Endpoints(app, **options).workflow(name="w")(function)
    with asgi_server(app) as url:
        yield url


@contextmanager
def on_lambda(function: Callable[..., Any], options: dict[str, Any]) -> Iterator[str]:
    endpoints = LambdaEndpoints(**options)
    endpoints.workflow(name="w")(function)
    with wsgi_server(Gateway({"/w": endpoints})) as url:
        yield url


one_thread = partial(wsgi_server, threaded=False)
# A server, and the default wait there of a `def` and of an `async def` handler, in seconds.
SERVERS: dict[str, tuple[Serve, float]] = {
    "Flask, threads": (flask_by(wsgi_server), 0.25),
    "Flask, one thread": (flask_by(one_thread), 0),
    "Django, threads": (django_by(Wsgi, wsgi_server), 0.25),
    "Django, one thread": (django_by(Wsgi, one_thread), 0),
    "Django on a loop": (django_by(Asgi, asgi_server), 15),
    "FastAPI": (on_fastapi, 15),
    "Lambda": (on_lambda, 1),
}


def asked_s(serve: Serve, *, variant: str, wait: Seconds | None = None) -> float:
    """The wait that a handler's only post requests."""
    with fake_api(NOT_FINISHED) as api:
        client: Any = (AsyncClient if variant == "async" else Client)(api.url)

        def plain(ctx: Context) -> Any:
            return ctx.step("s")

        async def on_a_loop(ctx: AsyncContext) -> Any:
            return await ctx.step("s")

        function = on_a_loop if variant == "async" else plain
        options = {"client": client, **({} if wait is None else {"wait": wait})}
        with serve(function, options) as url:
            answer = requests.post(
                f"{url}/w", json={**CALL, "payload": None}, headers={"Atomic-Attempt": "1"}, timeout=10
            )
        assert answer.status_code == 202, answer.text
        if variant == "async":
            asyncio.run(client.close())
        else:
            client.close()
    [(_, _, _, document)] = api.seen
    return float(document["timeout"] / 1000)


def assert_asks(asked_s: float, wait_s: float) -> None:
    """Assert the wait. Part of it has passed when the post is made; no time left is requested as 1 ms."""
    assert wait_s / 3 < asked_s <= max(wait_s, 0.001)


@pytest.mark.parametrize("variant", ["def", "async"])
@pytest.mark.parametrize("name", SERVERS)
def test_the_wait_fits_the_server(name: str, variant: str) -> None:
    serve, wait_s = SERVERS[name]
    assert_asks(asked_s(serve, variant=variant), wait_s)


@pytest.mark.parametrize("wait", [0, 4])
@pytest.mark.parametrize("name", SERVERS)
def test_what_the_user_says_counts(name: str, wait: int) -> None:
    assert_asks(asked_s(SERVERS[name][0], variant="def", wait=wait), wait)


def calls(threads: Threads, number: int, *, is_workflow: bool, stack: ExitStack) -> list[float]:
    """Begin that many calls, which do not end yet; return how long each may wait."""
    environ = {"wsgi.multithread": True}
    return [stack.enter_context(threads.serving(environ, is_workflow=is_workflow)) for _ in range(number)]


@pytest.mark.parametrize(
    ("threads", "waiting"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (15, 7), (16, 8), (64, 56)]
)
def test_half_of_the_threads_stay_free_for_steps_and_eight_at_most(threads: int, waiting: int) -> None:
    pool = Threads()
    with ExitStack() as stack:
        calls(pool, threads, is_workflow=False, stack=stack)
    # The limit follows the highest number of busy threads, which workflows now occupy.
    with ExitStack() as stack:
        waits_s = calls(pool, threads, is_workflow=True, stack=stack)
        assert waits_s == [0.25] * waiting + [0.0] * (threads - waiting)
    # A finished call frees its thread.
    with ExitStack() as stack:
        assert calls(pool, threads, is_workflow=True, stack=stack) == waits_s


def test_steps_do_not_count_as_waiting_handlers() -> None:
    pool = Threads()
    with ExitStack() as stack:
        assert set(calls(pool, 32, is_workflow=False, stack=stack)) == {0.0}
        assert set(calls(pool, 24, is_workflow=True, stack=stack)) == {0.25}


def test_a_handler_that_raises_frees_its_thread() -> None:
    pool = Threads()
    for _ in range(3):
        with (
            pytest.raises(KeyError),
            pool.serving({"wsgi.multithread": True}, is_workflow=True) as wait_s,
        ):
            raise KeyError
        assert wait_s == 0.25


def test_a_handler_in_the_only_thread_does_not_wait() -> None:
    pool = Threads()
    for environ in ({"wsgi.multithread": False}, {}, {"wsgi.multiprocess": True}):
        with pool.serving(environ, is_workflow=True) as wait_s:
            assert wait_s == 0.0
