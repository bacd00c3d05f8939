"""Every case on Starlette."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import requests
from starlette.applications import Starlette
from starlette.routing import Mount, Route, Router

from atomic.sdk.starlette import Call, Endpoints, step, workflow
from sdk import world
from sdk.matrix import Case, every_case, run
from sdk.threads import asgi_server


@contextmanager
def decorated(routes: list[world.Route], *, port: int = 0) -> Iterator[str]:
    views = [
        Route(route.path, decorator(**route.options)(route.function), methods=["POST"])
        for route in routes
        for decorator in [workflow if route.is_workflow else step]
    ]
    with asgi_server(Starlette(routes=views), port=port) as url:
        yield url


@contextmanager
def mounted(routes: list[world.Route]) -> Iterator[str]:
    app = Starlette()
    world.served_by(routes, partial(Endpoints, app))
    with asgi_server(app) as url:
        yield url


@every_case(decorated=[decorated], mounted=[mounted])
def test_starlette(case: Case, serve: world.Serve, atomic_url: str) -> None:
    run(case, serve, atomic_url)


def test_a_router_that_is_mounted_serves_them_below_its_path() -> None:
    router = Router()
    endpoints = Endpoints(router, "users")

    @endpoints.step
    def where(call: Call) -> str:
        return call.url

    body = {
        "payload": None,
        "runId": "run_1",
        "stepId": "step_1",
        "workflowName": "w",
        "idempotencyKey": "k",
        "attempt": 1,
    }
    with asgi_server(Starlette(routes=[Mount("/api", app=router)])) as url:
        response = requests.post(f"{url}/api/users/where", json=body, timeout=10)
        assert (response.status_code, response.json()) == (200, f"{url}/api/users/where")
        assert requests.get(f"{url}/api/users/where", timeout=10).status_code == 405
