"""Every case on Flask."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from flask import Flask

from atomic.sdk.flask import Endpoints, step, workflow
from sdk.matrix import Case, every_case, run
from sdk.threads import wsgi_server
from sdk.world import Route, Serve, served_by


@contextmanager
def decorated(routes: list[Route]) -> Iterator[str]:
    app = Flask("case")
    for route in routes:
        decorator = workflow if route.is_workflow else step
        app.post(route.path, endpoint=route.path)(decorator(**route.options)(route.function))
    with wsgi_server(app) as url:
        yield url


@contextmanager
def mounted(routes: list[Route]) -> Iterator[str]:
    app = Flask("case")
    served_by(routes, partial(Endpoints, app))
    with wsgi_server(app) as url:
        yield url


@every_case(decorated=[decorated], mounted=[mounted])
def test_flask(case: Case, serve: Serve, atomic_url: str) -> None:
    run(case, serve, atomic_url)
