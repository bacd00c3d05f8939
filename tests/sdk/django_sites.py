"""Django with the URLs of one test, under WSGI and ASGI, with CSRF protection enabled."""

from types import SimpleNamespace
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path

from atomic.sdk.django import Endpoints, step, workflow
from sdk.world import Route, served_by

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
    """The URL configuration of a case, made by Endpoints."""
    made: list[Endpoints] = []

    def below(prefix: str) -> Endpoints:
        made.append(Endpoints(prefix))
        return made[-1]

    served_by(routes, below)
    return tuple(pattern for endpoints in made for pattern in endpoints.urlpatterns)
