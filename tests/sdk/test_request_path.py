"""The path of an endpoint, as the client sent it, on every kind of server and behind prefixes."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import requests
from django.urls import path, re_path
from fastapi import FastAPI
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from atomic.protocol.signatures import encode_secret

# Django needs its settings before it is imported.
from atomic.sdk import (
    Call,
    django,
    fastapi,
    flask,
)
from atomic.sdk._endpoints.serving import RawPath, below, encoded, of_environ, of_scope
from sdk.cases.signing import BODY, NEW, signed
from sdk.django_sites import Asgi, Wsgi
from sdk.threads import asgi_server, wsgi_server
from unit.strategies import examples


@pytest.mark.parametrize(
    ("scope", "root", "path"),
    [
        ({"path": "/a b/é", "raw_path": b"/a%20b/%C3%A9"}, "", "/a%20b/%C3%A9"),
        ({"path": "/a/b", "raw_path": b"/a%2Fb?x=1"}, "", "/a%2Fb"),
        ({"path": "/a%2Fb", "raw_path": b"/a%252Fb"}, "", "/a%252Fb"),
        ({"path": "/a\ufffd/b", "raw_path": b"/a%FF/b"}, "", "/a%FF/b"),
        ({"path": "/a b/100%"}, "", "/a%20b/100%25"),
        ({"path": "/a b", "raw_path": None}, "", "/a%20b"),
        # Middleware has changed the path, but not the raw path.
        ({"path": "/b c", "raw_path": b"/prefix/b%20c"}, "", "/b%20c"),
        # uvicorn prepends the root path to both; other servers omit it.
        ({"path": "/api/a b", "raw_path": b"/api/a%20b", "root_path": "/api"}, "/api", "/a%20b"),
        ({"path": "/a b", "raw_path": b"/a%20b", "root_path": "/api/"}, "/api", "/a%20b"),
        ({"path": "/my api/a", "raw_path": b"/my%20api/a", "root_path": "/my api"}, "/my%20api", "/a"),
        ({"path": "/apix/a", "raw_path": b"/apix/a", "root_path": "/api"}, "/api", "/apix/a"),
        # The prefix of a mounted application is part of the path.
        (
            {
                "path": "/api/sub/a",
                "raw_path": b"/api/sub/a",
                "root_path": "/api/sub",
                "app_root_path": "/api",
            },
            "/api",
            "/sub/a",
        ),
        ({"path": "/sub/a", "raw_path": b"/sub/a", "root_path": "/sub", "app_root_path": ""}, "", "/sub/a"),
    ],
)
def test_paths_of_asgi(scope: dict[str, Any], root: str, path: str) -> None:
    assert of_scope(scope) == RawPath(root, path)


@pytest.mark.parametrize(
    ("environ", "root", "path"),
    [
        ({"PATH_INFO": "/a b/Ã©", "REQUEST_URI": "/a%20b/%C3%A9?x=1"}, "", "/a%20b/%C3%A9"),
        ({"PATH_INFO": "/a/b", "RAW_URI": "/a%2Fb"}, "", "/a%2Fb"),
        ({"PATH_INFO": "/a/b", "RAW_URI": "http://app.example/a%2Fb"}, "", "/a%2Fb"),
        ({"PATH_INFO": "/a\xef\xbf\xbd", "REQUEST_URI": "/a%FF"}, "", "/a%FF"),
        ({"PATH_INFO": "/a\xff", "REQUEST_URI": "/a%FF"}, "", "/a%FF"),
        ({"PATH_INFO": "/a b/Ã©"}, "", "/a%20b/%C3%A9"),
        ({"PATH_INFO": "/a/b", "SCRIPT_NAME": "/api", "REQUEST_URI": "/api/a%2Fb"}, "/api", "/a%2Fb"),
        ({"PATH_INFO": "/a/b", "SCRIPT_NAME": "/api", "REQUEST_URI": "/a%2Fb"}, "/api", "/a%2Fb"),
        ({"PATH_INFO": "/a/b", "SCRIPT_NAME": "/api", "REQUEST_URI": "/elsewhere"}, "/api", "/a/b"),
        ({"PATH_INFO": "/a", "SCRIPT_NAME": "/my api"}, "/my%20api", "/a"),
    ],
)
def test_paths_of_wsgi(environ: dict[str, Any], root: str, path: str) -> None:
    assert of_environ(environ) == RawPath(root, path)


@examples(200)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.booleans())
def test_what_is_sent_is_what_is_found(text: str, told: bool) -> None:
    sent = "/" + quote(text, safe="/:@!$&'()*+,;=~")
    decoded = f"/{text}"
    scope = {"path": decoded, "raw_path": sent.encode() if told else None}
    environ = {"PATH_INFO": decoded.encode().decode("latin-1")}
    if told and not sent.startswith("//"):
        environ["REQUEST_URI"] = sent
    assert of_scope(scope).path == of_environ(environ).path == sent
    assert encoded(sent) == sent
    assert encoded(decoded).isascii()


@pytest.mark.parametrize(
    ("base_url", "root", "url"),
    [
        ("https://h", "", "https://h"),
        ("https://h/", "/api", "https://h/api"),
        ("https://h/api", "/api", "https://h/api"),
        ("https://h/v1/api/", "/api", "https://h/v1/api"),
        ("https://h/api", "/api/sub", "https://h/api/sub"),
        ("https://h/ap", "/api", "https://h/ap/api"),
        ("https://api", "/api", "https://api/api"),
        ("https://h/a%20b", "/a%20b", "https://h/a%20b"),
    ],
)
def test_a_prefix_is_named_once(base_url: str, root: str, url: str) -> None:
    assert below(base_url, root) == url


def where(payload: Any, call: Call) -> str:
    return call.url


def told(url: str, headers: dict[str, str] | None = None) -> Any:
    answer = requests.post(url, data=BODY, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def starlette_application(**options: Any) -> Starlette:
    """An endpoint whose path has a parameter, and one in a mounted application."""
    view = fastapi.step(**options)(where)
    sub = FastAPI()
    fastapi.Endpoints(sub, "/w", steps=[where], **options)
    return Starlette(
        routes=[Route("/t/{who:path}/where", view, methods=["POST"]), Mount("/sub app", app=sub)]
    )


def flask_application(**options: Any) -> Flask:
    app = Flask("where")
    view = flask.step(**options)(where)
    app.add_url_rule("/t/<path:who>/where", "where", view, methods=["POST"])
    return app


def test_uvicorn() -> None:
    with asgi_server(starlette_application()) as url:
        for path in ("/t/a%2Fb%20%C3%A9/where", "/t/a%252Fb/where", "/sub%20app/w/where"):
            assert told(url + path) == url + path


@pytest.mark.parametrize("base_url", ["https://h", "https://h/api", "https://h/api/"])
def test_uvicorn_behind_a_prefix(base_url: str) -> None:
    with asgi_server(starlette_application(), root_path="/api") as url:
        assert told(f"{url}/t/a%2Fb/where") == f"{url}/api/t/a%2Fb/where"
        assert told(f"{url}/sub%20app/w/where") == f"{url}/api/sub%20app/w/where"
    with asgi_server(starlette_application(base_url=base_url), root_path="/api") as url:
        assert told(f"{url}/t/a%2Fb/where") == "https://h/api/t/a%2Fb/where"
        assert told(f"{url}/sub%20app/w/where") == "https://h/api/sub%20app/w/where"


@contextmanager
def bare_wsgi(app: Any) -> Iterator[str]:
    """The standard library's server, which does not pass on the raw path."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Log nothing."""

    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_wsgi_servers() -> None:
    with wsgi_server(flask_application()) as url:
        for path in ("/t/a%2Fb%20%C3%A9/where", "/t/a%252Fb/where", "/t/a%5Cb/where"):
            assert told(url + path) == url + path
    with bare_wsgi(flask_application()) as url:
        for path in ("/t/a%20%C3%A9/where", "/t/a%252Fb/where", "/t/a%5Cb/where"):
            assert told(url + path) == url + path


async def where_async(ctx: django.AsyncContext, call: Call) -> str:
    return call.url


def django_urls() -> tuple[Any, ...]:
    return (
        path("t/<path:who>/where", django.step(where)),
        re_path("^g/(.*)/where$", django.step(where)),
        path("a/<path:who>/where", django.workflow(where_async)),
    )


@pytest.mark.parametrize(("site", "server"), [(Wsgi, wsgi_server), (Asgi, asgi_server)])
def test_django_routes_with_variables(site: Any, server: Any) -> None:
    with server(site(django_urls())) as url:
        for sent in ("/t/a%2Fb%20%C3%A9/where", "/g/a%252Fb/where", "/a/b%5Cc/where"):
            assert told(url + sent) == url + sent


def test_wsgi_behind_a_prefix_and_mounted() -> None:
    behind = ProxyFix(flask_application(), x_prefix=1)
    mounted = DispatcherMiddleware(Flask("outer"), {"/sub": flask_application(base_url="https://h")})
    header = {"X-Forwarded-Prefix": "/api"}
    with wsgi_server(behind) as one, wsgi_server(mounted) as two:
        assert told(f"{one}/t/a%2Fb/where", header) == f"{one}/api/t/a%2Fb/where"
        assert told(f"{two}/sub/t/a%2Fb/where") == "https://h/sub/t/a%2Fb/where"


def test_what_atomic_signed_counts_before_what_the_request_shows() -> None:
    """A proxy removed a prefix, and the application is not told."""
    called = "https://app.example/api/t/a%2Fb/where?x=1"
    signed_call = signed(NEW, url=called)
    forged = {"atomic-url": "https://evil.example/t/a%2Fb/where"}
    options = {"secrets": [encode_secret(NEW)]}
    for serve, make in ((asgi_server, starlette_application), (wsgi_server, flask_application)):
        with serve(make(**options)) as url:
            assert told(f"{url}/t/a%2Fb/where", signed_call) == "https://app.example/api/t/a%2Fb/where"
        with serve(make(**options, base_url="https://h")) as url:
            assert told(f"{url}/t/a%2Fb/where", signed_call) == "https://h/t/a%2Fb/where"
        with serve(make()) as url:
            assert told(f"{url}/t/a%2Fb/where", forged) == f"{url}/t/a%2Fb/where"
