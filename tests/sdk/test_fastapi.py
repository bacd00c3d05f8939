"""Every case on FastAPI."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from fastapi import FastAPI

from atomic.sdk.fastapi import Endpoints, step, workflow
from sdk.matrix import Case, every_case, run
from sdk.threads import asgi_server
from sdk.world import Route, Serve, served_by


@contextmanager
def decorated(routes: list[Route]) -> Iterator[str]:
    app = FastAPI()
    for route in routes:
        decorator = workflow if route.is_workflow else step
        app.post(route.path)(decorator(**route.options)(route.function))
    with asgi_server(app) as url:
        yield url


@contextmanager
def mounted(routes: list[Route]) -> Iterator[str]:
    app = FastAPI()
    served_by(routes, partial(Endpoints, app))
    with asgi_server(app) as url:
        yield url


@every_case(decorated=[decorated], mounted=[mounted])
def test_fastapi(case: Case, serve: Serve, atomic_url: str) -> None:
    run(case, serve, atomic_url)
