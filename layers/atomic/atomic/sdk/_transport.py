"""How the SDK talks to Atomic: where the server is, what a request and its response are, who sends them.

A flow yields the requests it wants made and is sent their responses; it does no I/O itself. Time and
jitter come with each response, so a flow is a plain function of what it is sent, and one flow serves the
blocking and the asynchronous client.
"""

import http.client
import os
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

Result = TypeVar("Result")

URL: Final = "ATOMIC_URL"
CLIENT_ID: Final = "ATOMIC_CLIENT_ID"
API_KEY: Final = "ATOMIC_API_KEY"
_CONNECT_S: Final = 5.0
_CONNECTIONS_KEPT: Final = 64
# Beyond the time that the server was asked to wait: connecting, and the answer's way back.
GRACE_S: Final = 10.0
# On AWS a first attempt that is made inline holds the answer for up to 20 s, however short the wait.
_AT_LEAST_S: Final = 30.0
# aiohttp's, which is not imported for this.
_NO_HTTP: Final = frozenset({"ServerDisconnectedError", "ClientResponseError", "BadStatusLine"})


@dataclass(frozen=True, slots=True)
class ApiTarget:
    """An API and a client of it; `api_key` is empty where the server asks for none."""

    url: str
    client_id: str
    api_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """To be made after `pause_s`. `target` is path and query; `wait_s` is how long the server may wait."""

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    wait_s: float = 0.0

    @property
    def timeout_s(self) -> float:
        """How long to wait for the response."""
        return max(self.wait_s + GRACE_S, _AT_LEAST_S) if self.wait_s else GRACE_S


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
        url=checked(URL, url or os.environ.get(URL) or "http://127.0.0.1:8787").rstrip("/"),
        client_id=client_id or os.environ.get(CLIENT_ID) or "dev",
        api_key=api_key or os.environ.get(API_KEY) or "",
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


class Connections:
    """Connections to one server, kept between requests. For `Client`: they block."""

    def __init__(self, target: ApiTarget) -> None:
        # A handler that only writes steps makes no client, and requests is a third of the SDK's import.
        import requests
        from requests.adapters import HTTPAdapter

        self._url = target.url
        self._session = requests.Session()
        # By itself it takes a key from ~/.netrc, and proxies for this machine, too.
        self._session.trust_env = False
        if target.api_key:
            self._session.headers["Authorization"] = f"Bearer {target.api_key}"
        if proxy := proxy_of(target.url):
            self._session.proxies = {"http": proxy, "https": proxy}
        self._session.verify = ca_file() or True
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS_KEPT))

    def close(self) -> None:
        """Close them."""
        self._session.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Make one request. Raises ValueError for a wrong URL; a failure on the way is a response, too."""
        from requests import RequestException
        from requests.exceptions import InvalidURL, MissingSchema

        url = self._url + request.target
        timeout = (_CONNECT_S, request.timeout_s)
        try:
            response = self._session.request(
                request.method,
                url,
                data=request.body or None,
                headers=dict(request.headers),
                timeout=timeout,
                allow_redirects=False,
            )
        except (InvalidURL, MissingSchema) as wrong:
            raise ValueError(f"ATOMIC_URL {url!r} is no URL: {wrong}") from None
        except RequestException as error:
            return no_response(self._url, error)
        return response_from(self._url, response.status_code, response.headers, response.content)


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


def has_api_key() -> bool:
    """Whether ATOMIC_API_KEY is set."""
    return bool(os.environ.get(API_KEY))


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
