"""Every case on Flask."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from atomic.sdk.flask import step, workflow
from sdk.matrix import CASES, Case, name_of
from sdk.threads import wsgi_server
from sdk.world import Route, World


@contextmanager
def serve(routes: list[Route]) -> Iterator[str]:
    app = Flask("case")
    for route in routes:
        decorator = workflow if route.is_workflow else step
        app.post(route.path, endpoint=route.path)(decorator(**route.options)(route.function))
    with wsgi_server(app) as url:
        yield url


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_flask(case: Case, atomic_url: str) -> None:
    world = World(atomic_url, serve)
    try:
        case(world)
    finally:
        world.close()
