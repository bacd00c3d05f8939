"""How the SDK talks to Atomic: where the server is, what a request is, and what a response means.

A flow yields the requests it wants made and is sent their responses; it does no I/O itself. Time and
jitter come with each response, so a flow is a plain function of what it is sent, and one flow serves the
blocking and the asynchronous client.
"""

import http.client
import json
import os
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from atomic.protocol import headers, problems
from atomic.sdk.errors import (
    AtomicError,
    CancelledError,
    EventTimeoutError,
    InvalidRequestError,
    NoAnswerError,
    NotAnOpenEventError,
    NotFinishedError,
    NotFoundError,
    NotRedrivableError,
    PayloadMismatchError,
    RefusedError,
    StepFailedError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UrlNotAllowedError,
)

Result = TypeVar("Result")

_URL: Final = "ATOMIC_URL"
_CLIENT_ID: Final = "ATOMIC_CLIENT_ID"
_API_KEY: Final = "ATOMIC_API_KEY"
# Beyond the time that the server was asked to wait: connecting, and the answer's way back.
_GRACE_S: Final = 10.0
# On AWS a first attempt that is made inline holds the answer for up to 20 s, however short the wait.
_AT_LEAST_S: Final = 30.0
# aiohttp's, which is not imported for this.
_NO_HTTP: Final = frozenset({"ServerDisconnectedError", "ClientResponseError", "BadStatusLine"})
_BY_STATUS: Final[dict[int, type[RefusedError]]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    403: UrlNotAllowedError,
    404: NotFoundError,
    413: TooLargeError,
    422: PayloadMismatchError,
    429: TooManyRequestsError,
}
# The server is busy or does not answer. Nothing is known of the step, and posting again may succeed.
TRANSIENT: Final = (NoAnswerError, TooManyRequestsError, UnavailableError)
_CONFLICTS: Final[dict[str, type[RefusedError]]] = {
    problems.NOT_AN_OPEN_EVENT.uri: NotAnOpenEventError,
    problems.NOT_REDRIVABLE.uri: NotRedrivableError,
}
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_SAID_MAX_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class ApiTarget:
    """An API and a client of it; `api_key` is empty where the server asks for none."""

    url: str
    client_id: str
    api_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """To be made after `pause_s`. `target` is path and query, or a whole URL of the server; `wait_s` is how
    long the server may wait."""

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
        """The URL of the request, where `server` is the one of the server."""
        return server + self.target if self.target.startswith("/") else self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What came of a request. Status 0: nothing did, `error` says why and `cure` what to do about it, where
    that is known. Header names are lower case, `url` is that of the server.

    `at_s` is the moment by a monotonic clock, `jitter` a random number in [0, 1).
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
    """What is not given comes from ATOMIC_URL, ATOMIC_CLIENT_ID and ATOMIC_API_KEY.

    Raises ValueError for what is no URL of a server.
    """
    return ApiTarget(
        url=checked(_URL, url or os.environ.get(_URL) or "http://127.0.0.1:8787").rstrip("/"),
        client_id=client_id or os.environ.get(_CLIENT_ID) or "dev",
        api_key=api_key or os.environ.get(_API_KEY) or "",
    )


def proxy_of(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for a URL; this machine has none.

    Raises ValueError for one that speaks no HTTP.
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
    """A file or folder of certificates to trust instead of the usual ones, where the environment names one.

    Raises ValueError for one that is not there.
    """
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        path = os.environ.get(name)
        if path and not os.path.exists(path):
            raise ValueError(f"{name} names {path!r}, and nothing is there")
        if path:
            return path
    return None


def response_from(
    url: str, status: int, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes
) -> HttpResponse:
    """A response that came from there just now."""
    lower = {name.lower(): value for name, value in dict(headers).items()}
    return HttpResponse(
        status=status, headers=lower, body=body, url=url, at_s=time.monotonic(), jitter=_jitter()
    )


def no_response(url: str, error: Exception) -> HttpResponse:
    """What stands for a response when none came from there."""
    reason, cure = _why(url, error)
    return HttpResponse(
        status=0, error=f"{url}: {reason}", cure=cure, url=url, at_s=time.monotonic(), jitter=_jitter()
    )


def error_of(response: HttpResponse) -> AtomicError:
    """The error for a response that is no success."""
    if response.status == 0:
        return NoAnswerError(f"No answer from {response.error}.", cure=response.cure)
    problem = _problem_of(response)
    if response.status == 504:
        return NotFinishedError("Not finished in time.", step_id=problem.get("id"))
    if not problem:
        return _foreign(response)
    detail = str(problem.get("detail"))
    if response.status == 424:
        is_event = problem["type"] == problems.EVENT_EXPIRED.uri
        kind_of_failure = EventTimeoutError if is_event else StepFailedError
        return kind_of_failure(detail, members=problem)
    if problem["type"] == problems.CANCELLED.uri:
        return CancelledError(detail)
    kind = _CONFLICTS.get(problem["type"]) or _BY_STATUS.get(response.status, RefusedError)
    if response.status >= 500:
        kind = UnavailableError
    retry_after = response.headers.get(headers.RETRY_AFTER, "")
    return kind(detail, status=response.status, problem=problem, retry_after=retry_after)


def read(model: type[Model], response: HttpResponse) -> Model:
    """The document of a successful response. Raises RefusedError when somebody else has given it."""
    try:
        return model.model_validate_json(response.body)
    except ValueError:
        raise _foreign(response) from None


def members(response: HttpResponse, *names: str) -> list[Any]:
    """The same of some members. The rest is not looked at: this is where a handler's time goes."""
    try:
        document = json.loads(response.body)
        return [document[name] for name in names]
    except (ValueError, LookupError, TypeError):
        raise _foreign(response) from None


def _problem_of(response: HttpResponse) -> dict[str, Any]:
    """Atomic's problem document of a response; empty when somebody else answered."""
    try:
        document = json.loads(response.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and problems.name_of(document) else {}


def _foreign(response: HttpResponse) -> RefusedError:
    """The error for a response that Atomic has not given: a proxy's, a login page's, another server's.

    None of them fails a workflow, since the request itself may be right.
    """
    location = response.headers.get("location", "")
    if 300 <= response.status < 400 and location:
        detail = (
            f"{response.url} answered {response.status} and sends to {location[:200]}, "
            "which is not followed."
        )
        return RefusedError(detail, status=response.status, cure="Set ATOMIC_URL to where it sends.")
    said = _said(response)
    words = f" ({said})" if said else ""
    if response.status >= 500:
        return UnavailableError(
            f"{response.url} answered {response.status}{words}.", status=response.status
        )
    if response.status == 429:
        return TooManyRequestsError(f"{response.url} answered 429{words}.", status=429)
    cure = "Check ATOMIC_URL, and what stands between (a proxy, a login page)."
    if response.status == 400 and response.url.startswith("http:"):
        cure += f" If it speaks TLS, set ATOMIC_URL to https{response.url.removeprefix('http')}."
    detail = f"{response.url} answered {response.status}, and not as Atomic does{words}."
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
    return bool(os.environ.get(_API_KEY))


def checked(name: str, url: str) -> str:
    """The URL of a server. Raises ValueError, which names the setting, for what is none."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if is_url:
        return url
    meant = f"http://{url}" if "://" not in url else "http://127.0.0.1:8787"
    raise ValueError(f"{name} {url!r} is no URL of a server: write scheme, host and port, as in {meant}")


def _why(url: str, error: BaseException) -> tuple[str, str]:
    """What happened below all libraries ("Connection refused", not who raised it from what), and its cure;
    empty where that of NoAnswerError will do."""
    causes = list(_causes(error))
    for cause in causes:
        # aiohttp wraps both kinds in its own, which say less.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_message"):
            return f"its certificate is not trusted: {cause.verify_message}", (
                "Set SSL_CERT_FILE to a file with the certificate of its authority, or ATOMIC_URL to the "
                "name that its certificate is for."
            )
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) and url.startswith("https:"):
            return f"no TLS is spoken there ({cause.reason})", (
                f"Set ATOMIC_URL to http{url.removeprefix('https')} if that is meant."
            )
    last = causes[-1]
    if url.startswith("http:") and _is_no_http(last):
        secure = "https" + url.removeprefix("http")
        return "it closed the connection, or what it said is no HTTP", (
            f"If it speaks TLS, set ATOMIC_URL to {secure}. Otherwise it broke off, and posting again "
            "under the same key is safe."
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
    return random.random()  # noqa: S311 - it spreads retries, it keeps no secret
