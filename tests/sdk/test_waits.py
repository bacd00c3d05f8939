"""How long handlers ask to wait when `hang` says nothing, by what they post on each kind of server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from flask import Flask

from atomic.sdk import AsyncClient, AsyncContext, Client, Context, fastapi, flask
from atomic.sdk._waits import Waits
from atomic.sdk.aws_lambda import Endpoints as LambdaEndpoints
from atomic.sdk.retry import Seconds
from sdk.django_sites import Asgi, Wsgi, mounted
from sdk.fake_api import fake_api
from sdk.test_aws_lambda import Gateway
from sdk.threads import asgi_server, wsgi_server
from sdk.world import Route

Serve = Callable[[Callable[..., Any], dict[str, Any]], AbstractContextManager[str]]
NOT_FINISHED: Any = (504, {"Retry-After": "1"}, {"id": "run_0-1"})
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
# What serves, and how long a handler waits there, `def` or `async def`, in seconds.
SERVERS: dict[str, tuple[Serve, float]] = {
    "Flask, threads": (flask_by(wsgi_server), 0.25),
    "Flask, one thread": (flask_by(one_thread), 0),
    "Django, threads": (django_by(Wsgi, wsgi_server), 0.25),
    "Django, one thread": (django_by(Wsgi, one_thread), 0),
    "Django on a loop": (django_by(Asgi, asgi_server), 15),
    "FastAPI": (on_fastapi, 15),
    "Lambda": (on_lambda, 1),
}


def asked_s(serve: Serve, *, colour: str, hang: Seconds | None = None) -> float:
    """The wait that a handler's only post asks for."""
    with fake_api(NOT_FINISHED) as api:
        client: Any = (AsyncClient if colour == "async" else Client)(api.url)

        def plain(ctx: Context) -> Any:
            return ctx.step("s")

        async def on_a_loop(ctx: AsyncContext) -> Any:
            return await ctx.step("s")

        function = on_a_loop if colour == "async" else plain
        options = {"client": client, **({} if hang is None else {"hang": hang})}
        with serve(function, options) as url:
            answer = requests.post(
                f"{url}/w", json={**CALL, "payload": None}, headers={"Atomic-Attempt": "1"}, timeout=10
            )
        assert answer.status_code == 202, answer.text
        if colour == "async":
            asyncio.run(client.close())
        else:
            client.close()
    [(_, _, _, document)] = api.seen
    return float(document["timeout"] / 1000)


def assert_asks(asked_s: float, wait_s: float) -> None:
    """Some of the wait is gone when the post is made; nothing is asked for as a millisecond."""
    assert wait_s / 3 < asked_s <= max(wait_s, 0.001)


@pytest.mark.parametrize("colour", ["def", "async"])
@pytest.mark.parametrize("name", SERVERS)
def test_the_wait_fits_the_server(name: str, colour: str) -> None:
    serve, wait_s = SERVERS[name]
    assert_asks(asked_s(serve, colour=colour), wait_s)


@pytest.mark.parametrize("hang", [0, 4])
@pytest.mark.parametrize("name", SERVERS)
def test_what_the_user_says_counts(name: str, hang: int) -> None:
    assert_asks(asked_s(SERVERS[name][0], colour="def", hang=hang), hang)


def first(waits: Waits, *, suspended: bool, elapsed_s: float = 0.3) -> float:
    """A first call; how long it might wait."""
    wait_s = waits.next_s(0.25, is_first=True)
    waits.saw(wait_s, elapsed_s, suspended=suspended)
    return wait_s


def test_a_function_whose_waits_run_out_stops_waiting_and_tries_again() -> None:
    waits = Waits()
    asked = [first(waits, suspended=True) for _ in range(100)]
    assert asked.index(0.0) == 11
    assert [number for number, wait_s in enumerate(asked[11:], 1) if wait_s] == [16, 32, 48, 64, 80]
    # Calls after a suspension never try: what they need is done already.
    assert {waits.next_s(0.25, is_first=False) for _ in range(100)} == {0.0}


def test_waits_that_are_long_enough_bring_it_back() -> None:
    waits = Waits()
    for _ in range(50):
        first(waits, suspended=True)
    asked = [first(waits, suspended=False, elapsed_s=0.1) for _ in range(60)]
    assert asked[-1] == waits.next_s(0.25, is_first=False) == 0.25


def test_one_in_three_is_enough() -> None:
    waits = Waits()
    assert {first(waits, suspended=number % 3 > 0) for number in range(300)} == {0.25}


def test_who_suspends_at_once_says_nothing() -> None:
    """A workflow that begins with a sleep of a month did not wait."""
    waits = Waits()
    assert {first(waits, suspended=True, elapsed_s=0.01) for _ in range(100)} == {0.25}


def test_where_nobody_may_wait_nothing_is_learned() -> None:
    waits = Waits()
    assert {waits.next_s(0.0, is_first=True) for _ in range(20)} == {0.0}
    waits.saw(0.0, 0.01, suspended=True)
    assert waits.next_s(0.25, is_first=True) == 0.25
