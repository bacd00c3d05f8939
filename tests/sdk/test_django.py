"""Every case on Django, under WSGI and under ASGI, with its CSRF protection on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path

from atomic.sdk.django import Endpoints, step, workflow
from sdk.matrix import Case, every_case, run
from sdk.threads import asgi_server, wsgi_server
from sdk.world import Route, Serve, served_by

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=SimpleNamespace(urlpatterns=[]),
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
)
django.setup()


class OfOneCase:
    """Django with the URLs of one case."""

    def __init__(self, urlpatterns: tuple[Any, ...]) -> None:
        super().__init__()
        self._urlpatterns = urlpatterns

    def resolve_request(self, request: Any) -> Any:
        """Django's own hook for a URL configuration by request."""
        request.urlconf = self._urlpatterns
        return super().resolve_request(request)  # type: ignore[misc]  # of the class that this is mixed into


class Wsgi(OfOneCase, WSGIHandler):
    """In threads."""


class Asgi(OfOneCase, ASGIHandler):
    """On an event loop."""


def decorated(routes: list[Route]) -> tuple[Any, ...]:
    """The URL configuration of a case."""
    return tuple(
        path(
            route.path.lstrip("/"),
            (workflow if route.is_workflow else step)(**route.options)(route.function),
        )
        for route in routes
    )


def mounted(routes: list[Route]) -> tuple[Any, ...]:
    """The same by Endpoints."""
    made: list[Endpoints] = []

    def below(prefix: str) -> Endpoints:
        made.append(Endpoints(prefix))
        return made[-1]

    served_by(routes, below)
    return tuple(pattern for endpoints in made for pattern in endpoints.urlpatterns)


def serve_by(django_for: Any, server: Any, urls_of: Callable[[list[Route]], tuple[Any, ...]]) -> Serve:
    """Serve what the function makes of routes."""

    @contextmanager
    def serve(routes: list[Route]) -> Iterator[str]:
        with server(django_for(urls_of(routes))) as url:
            yield url

    serve.__name__ = f"{urls_of.__name__}-{django_for.__name__}"
    return serve


# What Endpoints make are the same views, so one of the two servers shows it.
@every_case(
    decorated=[serve_by(Wsgi, wsgi_server, decorated), serve_by(Asgi, asgi_server, decorated)],
    mounted=[serve_by(Asgi, asgi_server, mounted)],
)
def test_django(case: Case, serve: Serve, atomic_url: str) -> None:
    run(case, serve, atomic_url)
