"""Every case on Django, under WSGI and under ASGI, with its CSRF protection on."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path

from atomic.sdk.django import step, workflow
from sdk.matrix import CASES, Case, name_of
from sdk.threads import asgi_server, wsgi_server
from sdk.world import Route, Serve, World

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=SimpleNamespace(urlpatterns=[]),
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
)
django.setup()


class Wsgi(WSGIHandler):
    """Django with the URLs of one case."""

    def __init__(self, urlpatterns: tuple[Any, ...]) -> None:
        super().__init__()
        self._urlpatterns = urlpatterns

    def resolve_request(self, request: Any) -> Any:
        """Django's own hook for a URL configuration by request."""
        request.urlconf = self._urlpatterns
        return super().resolve_request(request)


class Asgi(ASGIHandler):
    """Django with the URLs of one case, on an event loop."""

    def __init__(self, urlpatterns: tuple[Any, ...]) -> None:
        super().__init__()
        self._urlpatterns = urlpatterns

    def resolve_request(self, request: Any) -> Any:
        """Django's own hook for a URL configuration by request."""
        request.urlconf = self._urlpatterns
        return super().resolve_request(request)


def urls(routes: list[Route]) -> tuple[Any, ...]:
    """The URL configuration of a case."""
    return tuple(
        path(
            route.path.lstrip("/"),
            (workflow if route.is_workflow else step)(**route.options)(route.function),
        )
        for route in routes
    )


@contextmanager
def serve_wsgi(routes: list[Route]) -> Iterator[str]:
    with wsgi_server(Wsgi(urls(routes))) as url:
        yield url


@contextmanager
def serve_asgi(routes: list[Route]) -> Iterator[str]:
    with asgi_server(Asgi(urls(routes))) as url:
        yield url


@pytest.mark.parametrize("serve", [serve_wsgi, serve_asgi], ids=["wsgi", "asgi"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_django(case: Case, serve: Serve, atomic_url: str) -> None:
    world = World(atomic_url, serve)
    try:
        case(world)
    finally:
        world.close()
