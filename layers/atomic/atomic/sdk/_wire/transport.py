"""The SDK's connection to Atomic: the address of the server, requests, and the meaning of responses.

A flow is a generator: it yields requests and receives their responses, and does no I/O itself. Each
response has the time and a random number, so a flow depends only on its responses. Both the blocking and
the asynchronous client use the same flows.
"""

import http.client
import os
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel
from pydantic_core import from_json

from atomic.protocol import headers, problems
from atomic.sdk.errors import (
    FAILURES,
    REFUSALS,
    AtomicError,
    CancelledError,
    InvalidRequestError,
    NoAnswerError,
    NotFinishedError,
    NotFoundError,
    PayloadMismatchError,
    RefusedError,
    RunFailedError,
    StepCancelledError,
    StepFailedError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)

Result = TypeVar("Result")

_URL: Final = "ATOMIC_URL"
# Added to the time that the server waits: the time to connect, and to receive the answer.
_GRACE_S: Final = 10.0
# On AWS, an inline first attempt delays the answer by up to 20 s, however short the wait is.
_AT_LEAST_S: Final = 30.0
# Names of errors that mean "not HTTP". They are names, so that aiohttp need not be imported.
_NO_HTTP: Final = frozenset({"ServerDisconnectedError", "ClientResponseError", "BadStatusLine"})
_BY_STATUS: Final[dict[int, type[RefusedError]]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    404: NotFoundError,
    413: TooLargeError,
    422: PayloadMismatchError,
    429: TooManyRequestsError,
}
# The server is busy or does not answer. The state of the step is unknown, and another post may succeed.
TRANSIENT: Final = (NoAnswerError, TooManyRequestsError, UnavailableError)
# By the type of the problem, whose name is the code of the error.
_BY_TYPE: Final = {problems.URI + kind.code: kind for kind in REFUSALS}
_FAILURES: Final = {problems.URI + kind.code: kind for kind in FAILURES.values()}
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_SAID_MAX_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class ApiTarget:
    """A server, a client id and its key or else `sign` (`iam.Sign`); `steps_url` if steps have another."""

    url: str
    client_id: str
    api_key: str
    steps_url: str = ""
    sign: Callable[[str, str, bytes], Mapping[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class StepsPath:
    """Where a handler posts its steps (a path, or a whole URL of the server), and the headers for that.

    `trace` returns the trace context of a post that is made now; empty leaves the one of `fixed`.
    """

    target: str
    fixed: Mapping[str, str]
    trace: Callable[[], str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of a post that is made now."""
        now = "" if self.trace is None else self.trace()
        return {**self.fixed, headers.TRACEPARENT: now} if now else self.fixed


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request to make after `pause_s`. `target`: path and query, or a whole URL of the server. `wait_s`:
    how long the server waits."""

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    wait_s: float = 0.0

    @property
    def timeout_s(self) -> float:
        """How long to wait for the response."""
        return max(self.wait_s + _GRACE_S, _AT_LEAST_S) if self.wait_s else _GRACE_S

    def url_at(self, server: str) -> str:
        """The URL of the request. `server` is the URL of the server."""
        return server + self.target if self.target.startswith("/") else self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """The response to a request. `headers` finds names in lower case; `url` is the server's.

    With status 0 there was no response: `error` says why, and `cure` what to do, if that is known. `at_s`
    is the time by a monotonic clock; `jitter` is a random number in [0, 1).
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""
    cure: str = ""
    url: str = ""
    at_s: float
    jitter: float


Flow = Generator[HttpRequest, HttpResponse, Result]
Model = TypeVar("Model", bound=BaseModel)


def drive(
    flow: Flow[Result], send: Callable[[HttpRequest], HttpResponse], sleep: Callable[[float], None]
) -> Result:
    """Run a flow with a blocking transport."""
    try:
        request = next(flow)
        while True:
            if request.pause_s > 0:
                sleep(request.pause_s)
            request = flow.send(send(request))
    except StopIteration as end:
        result: Result = end.value
        return result


async def drive_async(
    flow: Flow[Result],
    send: Callable[[HttpRequest], Awaitable[HttpResponse]],
    sleep: Callable[[float], Awaitable[Any]],
) -> Result:
    """Run a flow with an asynchronous transport."""
    try:
        request = next(flow)
        while True:
            if request.pause_s > 0:
                await sleep(request.pause_s)
            request = flow.send(await send(request))
    except StopIteration as end:
        result: Result = end.value
        return result


def connection(url: str | None, client_id: str | None, api_key: str | None) -> ApiTarget:
    """The target; a missing argument is taken from ATOMIC_URL, ATOMIC_CLIENT_ID or ATOMIC_API_KEY.

    Raises ValueError for an invalid URL of a server.
    """
    steps_url = os.environ.get("ATOMIC_STEPS_URL", "")
    return ApiTarget(
        url=checked(_URL, url or os.environ.get(_URL) or "http://127.0.0.1:8787").rstrip("/"),
        client_id=client_id or os.environ.get("ATOMIC_CLIENT_ID") or "dev",
        api_key=api_key or os.environ.get("ATOMIC_API_KEY") or "",
        steps_url=steps_url and checked("ATOMIC_STEPS_URL", steps_url).rstrip("/"),
    )


def proxy_of(url: str) -> str | None:
    """The proxy for a URL by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; None for this machine.

    Raises ValueError for a proxy that is not an HTTP proxy.
    """
    from urllib.request import getproxies, proxy_bypass  # a tenth of the SDK's import

    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or _is_this_machine(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    scheme, is_whole, _ = proxy.partition("://")
    if is_whole and scheme not in {"http", "https"}:
        raise ValueError(
            f"the environment has a {scheme} proxy for {url}: use an HTTP one, or NO_PROXY={host}"
        )
    return proxy if is_whole else f"http://{proxy}"


def ca_file() -> str | None:
    """The file or folder of certificates that the environment names, to trust instead of the usual ones.

    Raises ValueError when it does not exist.
    """
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        path = os.environ.get(name)
        if path and not os.path.exists(path):
            raise ValueError(f"{name} names {path!r}, which does not exist")
        if path:
            return path
    return None


def response_from(url: str, status: int, headers: Mapping[str, str], body: bytes) -> HttpResponse:
    """The response that a server gave just now. `headers` finds a name in lower case."""
    return HttpResponse(
        status=status, headers=headers, body=body, url=url, at_s=time.monotonic(), jitter=_jitter()
    )


def no_response(url: str, error: Exception) -> HttpResponse:
    """The object that stands for a response when there was none."""
    reason, cure = _why(url, error)
    return HttpResponse(
        status=0, error=f"{url}: {reason}", cure=cure, url=url, at_s=time.monotonic(), jitter=_jitter()
    )


def error_of(response: HttpResponse) -> AtomicError:
    """The error for an unsuccessful response."""
    if response.status == 0:
        return NoAnswerError(f"No answer from {response.error}.", cure=response.cure)
    problem = _problem_of(response)
    if response.status == 504:
        return NotFinishedError("Not finished in time.", step_id=problem.get("id"))
    if not problem:
        return _foreign(response)
    detail = str(problem.get("detail"))
    by_kind = FAILURES.get(str(problem.get("lastErrorKind")))
    failed = by_kind or _FAILURES.get(problem["type"], StepFailedError)
    if response.status == 424 or issubclass(failed, RunFailedError):
        return failed(detail, members=problem)
    if problem["type"] == problems.CANCELLED.uri:
        return CancelledError(detail)
    if problem["type"] == problems.STEP_CANCELLED.uri:
        return StepCancelledError(detail)
    kind = _BY_TYPE.get(problem["type"]) or _BY_STATUS.get(response.status, RefusedError)
    if response.status >= 500:
        kind = UnavailableError
    retry_after = response.headers.get(headers.RETRY_AFTER, "")
    return kind(detail, status=response.status, problem=problem, retry_after=retry_after)


def read(model: type[Model], response: HttpResponse) -> Model:
    """The document of a successful response. Raises RefusedError when it is not from Atomic."""
    try:
        return model.model_validate_json(response.body)
    except ValueError:
        raise _foreign(response) from None


def members(response: HttpResponse, *names: str, optional: Sequence[str] = ()) -> list[Any]:
    """Some members, then `optional` ones or None. Validating the rest would take most of the time."""
    try:
        document = from_json(response.body)
        return [document[name] for name in names] + [document.get(name) for name in optional]
    except (ValueError, LookupError, TypeError):
        raise _foreign(response) from None


def _problem_of(response: HttpResponse) -> dict[str, Any]:
    """Atomic's problem document in a response; empty when the response is not from Atomic."""
    try:
        document = from_json(response.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and problems.name_of(document) else {}


def _foreign(response: HttpResponse) -> RefusedError:
    """The error for a response that is not from Atomic, but from a proxy, a login page or another server.

    Such a response does not fail a workflow, since the request itself may be right.
    """
    location = response.headers.get("location", "")
    if 300 <= response.status < 400 and location:
        detail = (
            f"{response.url} answered {response.status} and redirects to {location[:200]}, "
            "which is not followed."
        )
        return RefusedError(detail, status=response.status, cure="Set ATOMIC_URL to this address.")
    said = _said(response)
    words = f" ({said})" if said else ""
    if response.status >= 500:
        return UnavailableError(
            f"{response.url} answered {response.status}{words}.", status=response.status
        )
    if response.status == 429:
        return TooManyRequestsError(f"{response.url} answered 429{words}.", status=429)
    cure = "Check ATOMIC_URL, and what is in between (a proxy, a login page)."
    if response.status == 400 and response.url.startswith("http:"):
        cure += f" If the server uses TLS, set ATOMIC_URL to https{response.url.removeprefix('http')}."
    detail = f"{response.url} answered {response.status}, but not like Atomic{words}."
    return RefusedError(detail, status=response.status, cure=cure)


def _said(response: HttpResponse) -> str:
    """The title of a page, or the beginning of a text."""
    text = response.body[:4096].decode(errors="replace")
    title = _TITLE.search(text)
    words = title[1] if title else ("" if text.lstrip().startswith("<") else text)
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return words if len(words) <= _SAID_MAX_CHARS else f"{words[: _SAID_MAX_CHARS - 1]}…"


def has_api_key() -> bool:
    """Whether ATOMIC_API_KEY is set."""
    return bool(os.environ.get("ATOMIC_API_KEY"))


def checked(name: str, url: str) -> str:
    """The URL, if it is the URL of a server. Otherwise raises ValueError, which names the setting."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if is_url:
        return url
    meant = f"http://{url}" if "://" not in url else "http://127.0.0.1:8787"
    raise ValueError(
        f"{name} {url!r} is not the URL of a server: write scheme, host and port, such as {meant}"
    )


def _why(url: str, error: BaseException) -> tuple[str, str]:
    """The innermost reason of an error ("Connection refused") and its cure.

    The cure is empty when that of NoAnswerError is enough.
    """
    causes = list(_causes(error))
    for cause in causes:
        # aiohttp wraps both kinds in its own errors, which say less.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_message"):
            return f"its certificate is not trusted: {cause.verify_message}", (
                "Set SSL_CERT_FILE to a file with the certificate of its authority, or ATOMIC_URL to the "
                "name that its certificate is for."
            )
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) and url.startswith("https:"):
            return f"the server does not use TLS ({cause.reason})", (
                f"Set ATOMIC_URL to http{url.removeprefix('https')} if this is the right server."
            )
    last = causes[-1]
    if url.startswith("http:") and _is_no_http(last):
        secure = "https" + url.removeprefix("http")
        return "it closed the connection, or its answer is not HTTP", (
            f"If the server uses TLS, set ATOMIC_URL to {secure}. Otherwise the connection was lost, and "
            "posting again with the same key is safe."
        )
    if isinstance(last, OSError) and last.strerror:
        return last.strerror, ""
    return str(last) or type(last).__name__, ""


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the innermost last."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _is_no_http(error: BaseException) -> bool:
    return (
        isinstance(error, http.client.HTTPException | ConnectionResetError)
        or type(error).__name__ in _NO_HTTP
    )


def _jitter() -> float:
    return random.random()  # noqa: S311 - it spreads retries, and is not a secret
