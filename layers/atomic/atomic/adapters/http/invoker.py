"""The endpoint invoker: HTTP/1.1 on the transports of the event loop, with bounds on everything.

No redirects, no proxies, no cookies, no decompression, nothing from the environment.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, NamedTuple

from atomic.adapters.http.addresses import is_public
from atomic.adapters.http.connection import BROKEN_OFF, UNWANTED, Connection, Origin, Pool
from atomic.adapters.http.dial import Dialer
from atomic.adapters.http.gate import FAILURES_MAX, DialGate, NotDialled, Unreachable
from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.urls import is_function, parse_url

# RFC 9110, 5.6.2.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Headers that frame the message or control the connection are set by this client only.
_OWN_HEADERS: Final = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Target(NamedTuple):
    """A URL taken apart; `head` is the beginning of every request to it."""

    origin: Origin
    head: bytes


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """Take a URL apart; raises ValueError with a short text. The path and the query stay as they are."""
    try:
        parts = parse_url(url)
    except ValueError:
        raise ValueError("not a usable URL") from None
    if is_function(url):
        raise ValueError("this server calls no Lambda functions")
    head = (
        f"POST {parts.target} HTTP/1.1\r\nHost: {parts.authority}\r\nUser-Agent: atomic\r\nAccept: */*\r\n"
    )
    return Target(Origin(*parts[:3]), head.encode("ascii"))


def encode(target: Target, request: EndpointRequest) -> bytes:
    """Head and body in one piece; raises ValueError for a header that cannot be sent."""
    headers = request.headers
    _check_names(tuple(headers))
    values = "".join(headers.values())
    # Among ASCII, printable leaves out CR, LF, NUL and every other control character.
    if not (values.isascii() and values.isprintable()):
        raise ValueError("a header value cannot be sent")
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("ascii")
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (target.head, lines, len(request.body), request.body)


# Nearly every request has the same names.
@lru_cache(maxsize=64)
def _check_names(names: tuple[str, ...]) -> None:
    if not all(map(_NAME.fullmatch, names)) or not _OWN_HEADERS.isdisjoint(map(str.lower, names)):
        raise ValueError("a header name cannot be sent")


class HttpInvoker:
    """Makes attempts. It belongs to the event loop of its first attempt; close it after the last one.

    `allows` decides about each IP address before it is dialled; by default only public ones are.
    `tls` replaces the default context. `failures_max`: see `DialGate`. A larger answer than
    `body_max_bytes` is not read.
    """

    def __init__(
        self,
        *,
        allows: Callable[[str], bool] = is_public,
        tls: ssl.SSLContext | None = None,
        failures_max: int = FAILURES_MAX,
        body_max_bytes: int = RESPONSE_MAX_BYTES,
    ) -> None:
        self._body_max_bytes = body_max_bytes
        self._pool = Pool()
        self._gate = DialGate(failures_max)
        self._dialer = Dialer(allows=allows, tls=tls)

    def warm(self) -> None:
        """Do now what the first attempt would have to do before it could connect."""
        self._dialer.warm()

    async def close(self) -> None:
        """Close every connection; attempts that are still running end with an error."""
        await self._pool.close()

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt. Always ends within the request's total time."""
        try:
            target = target_of(request.url)
            data = encode(target, request)
        except ValueError as refused:
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, str(refused)))
        deadline_s = asyncio.get_running_loop().time() + request.timeout_ms / 1000
        exchange = partial(self._exchange, data, deadline_s=deadline_s, timeout_ms=request.timeout_ms)
        # An idle connection may have been closed by the server, and then the request is sent again.
        connection = None if request.once else self._pool.take(target.origin)
        answer = None if connection is None else await exchange(connection)
        if answer is None:
            # Nothing was idle, or the server closed the idle connection while the request was on its way.
            # The endpoint may have got it all the same: that is what the idempotency key is for.
            opened = await self._connect(target, request, deadline_s)
            if isinstance(opened, EndpointResponse):
                return opened
            if not request.is_wanted():
                self._pool.release(opened)
                return UNWANTED
            answer = await exchange(opened)
        return BROKEN_OFF if answer is None else answer

    async def _connect(
        self, target: Target, request: EndpointRequest, deadline_s: float
    ) -> Connection | EndpointResponse:
        """A new connection, or the result of the attempt without one."""
        is_dialled = False
        make = partial(Connection, self._pool.forget, self._body_max_bytes)
        try:
            async with asyncio.timeout_at(deadline_s), self._gate.passing(request.client_id, target.origin):
                is_dialled = True
                connection = await self._dialer.connect(target.origin, make)
        except TimeoutError:
            if not is_dialled:
                return EndpointResponse(not_made=NotMade(StepError(ErrorKind.TOO_MANY_CONNECTIONS)))
            return EndpointResponse(
                error=StepError(ErrorKind.CONNECTION_TIMED_OUT, str(request.timeout_ms))
            )
        except Unreachable as failure:
            return EndpointResponse(error=StepError(failure.kind, str(failure)))
        except NotDialled as refusal:
            return EndpointResponse(not_made=refusal.not_made)
        self._pool.adopt(connection, target.origin)
        return connection

    async def _exchange(
        self, data: bytes, connection: Connection, *, deadline_s: float, timeout_ms: int
    ) -> EndpointResponse | None:
        """One request; None when the connection ended before the first byte of an answer."""
        timer = asyncio.get_running_loop().call_at(deadline_s, connection.expire, timeout_ms)
        try:
            return await connection.send(data)
        finally:
            timer.cancel()
            # If the caller was cancelled, the answer is incomplete, and this closes the connection.
            self._pool.release(connection)
