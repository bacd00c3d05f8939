"""Applications of tests: attempts become calls of ASGI, WSGI and Lambda applications, without sockets."""

import asyncio
import inspect
import io
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Final, Literal
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from atomic.sdk._endpoints.endpoints import MountedEndpoints
from atomic.sdk._wire.in_process import CURRENT
from atomic.testing.endpoints import EndpointCall, EndpointReply
from atomic.testing.virtual_time import CALL

ApplicationKind = Literal["asgi", "wsgi", "lambda"]
Application = Callable[[EndpointCall], Coroutine[Any, Any, EndpointReply]]
# Applications that still work. An event loop itself keeps no tasks.
_WORKING: Final[set[asyncio.Future[Any]]] = set()


def application_of(served: Any, kind: ApplicationKind | None = None) -> Application:
    """What calls an application, or the application of some `Endpoints`.

    Raises TypeError for what is neither, and for endpoints on a part of an application.
    """
    app = vars(served)["_app"] if isinstance(served, MountedEndpoints) else served
    if not callable(app):
        raise TypeError(
            f"{type(app).__name__} cannot be called: give the application itself, as a server does "
            "(FastAPI, Starlette, Flask, Django's get_asgi_application(), a Lambda handler)"
        )
    kind = kind or _kind_of(app)

    async def call(attempt: EndpointCall) -> EndpointReply:
        # As under a server, a call has nothing of the context of the handler that posted it. (Django would
        # run both in one thread, and the handler would wait for its own step.)
        context = Context()
        context.run(CURRENT.set, CURRENT.get())
        context.run(CALL.set, CALL.get())
        work = _CALLS[kind](app, attempt)
        return await asyncio.get_running_loop().create_task(work, context=context)

    return call


def _kind_of(app: Any) -> ApplicationKind:
    names = [
        parameter.name
        for parameter in inspect.signature(app).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(names) == 3:
        return "asgi"
    if len(names) == 2:
        return "lambda" if names[0] == "event" else "wsgi"
    raise TypeError(
        f"{app!r} takes {len(names)} arguments: say whether it is asgi, wsgi or lambda by `kind`"
    )


async def _asgi(app: Any, call: EndpointCall) -> EndpointReply:
    url = urlsplit(call.url)
    headers = {"host": url.netloc, **call.headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": url.scheme,
        "path": unquote(url.path),
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()],
        "server": None,
        "client": None,
    }
    sent: list[dict[str, Any]] = []
    bodies = [call.body]
    # As under a server, the caller has the answer once it is sent whole. What the application does
    # afterwards, such as tasks in the background, or Django's end of its thread, does not delay it.
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive() -> dict[str, Any]:
        if not bodies:
            await asyncio.Event().wait()  # the caller stays until it has its answer
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body") and not answered.done():
            answered.set_result(None)

    working = asyncio.ensure_future(app(scope, receive, send))
    _WORKING.add(working)
    working.add_done_callback(_WORKING.discard)
    try:
        await asyncio.wait((working, answered), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        working.cancel()
        raise
    if not answered.done():
        working.result()
    headers = {name.decode("latin-1"): text.decode("latin-1") for name, text in sent[0].get("headers", ())}
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return EndpointReply(status=sent[0]["status"], body=body, headers=headers)


async def _wsgi(app: Any, call: EndpointCall) -> EndpointReply:
    url = urlsplit(call.url)
    headers = {"HTTP_HOST": url.netloc}
    for name, text in call.headers.items():
        headers["HTTP_" + name.upper().replace("-", "_")] = text
    environ = {
        **headers,
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(url.path).decode("latin-1"),
        "REQUEST_URI": url.path,
        "QUERY_STRING": url.query,
        "CONTENT_TYPE": call.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(call.body)),
        "SERVER_NAME": url.hostname or "",
        "SERVER_PORT": str(url.port or (443 if url.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(call.body),
        "wsgi.errors": io.StringIO(),
        # Handlers do not wait in the thread: they are suspended, and called again.
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    began: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, given: list[tuple[str, str]], _failure: Any = None) -> None:
        began.append((status, given))

    def work() -> bytes:
        chunks = app(environ, start_response)
        try:
            return b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    body = await _in_thread(work)
    status, given = began[-1]
    return EndpointReply(status=int(status.split()[0]), body=body, headers=dict(given))


async def _lambda(app: Any, call: EndpointCall) -> EndpointReply:
    """The event of an HTTP API."""
    url = urlsplit(call.url)
    event = {
        "version": "2.0",
        "rawPath": url.path,
        "rawQueryString": url.query,
        "headers": {"host": url.netloc, "x-forwarded-proto": url.scheme, **call.headers},
        "requestContext": {"domainName": url.netloc, "http": {"method": "POST", "path": url.path}},
        "body": call.body.decode(),
        "isBase64Encoded": False,
    }
    answer = await _in_thread(lambda: app(event, None))
    return EndpointReply(
        status=answer["statusCode"], body=answer["body"].encode(), headers=answer.get("headers") or {}
    )


async def _in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, copy_context().run, work)


_CALLS: Final = {"asgi": _asgi, "wsgi": _wsgi, "lambda": _lambda}
