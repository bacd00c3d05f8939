"""Every case on Django, under WSGI and ASGI, with CSRF protection enabled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sdk.django_sites import Asgi, Wsgi, decorated, mounted
from sdk.matrix import Case, every_case, run
from sdk.threads import asgi_server, wsgi_server
from sdk.world import Route, Serve


def serve_by(django_for: Any, server: Any, urls_of: Callable[[list[Route]], tuple[Any, ...]]) -> Serve:
    """Serve the URL configuration that the function makes from routes."""

    @contextmanager
    def serve(routes: list[Route]) -> Iterator[str]:
        with server(django_for(urls_of(routes))) as url:
            yield url

    serve.__name__ = f"{urls_of.__name__}-{django_for.__name__}"
    return serve


# Endpoints makes the same views for both servers, so one of them is enough.
@every_case(
    decorated=[serve_by(Wsgi, wsgi_server, decorated), serve_by(Asgi, asgi_server, decorated)],
    mounted=[serve_by(Asgi, asgi_server, mounted)],
)
def test_django(case: Case, serve: Serve, atomic_url: str) -> None:
    run(case, serve, atomic_url)
