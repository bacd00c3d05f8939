"""The endpoint invoker: HTTP/1.1 on the transports of the event loop, with bounds on everything.

No redirects, no proxies, no cookies, no decompression, nothing from the environment.
"""

import asyncio
import ssl
from collections.abc import Callable
from functools import partial

from atomic.adapters.http.addresses import is_public
from atomic.adapters.http.connection import BROKEN_OFF, UNWANTED, Connection
from atomic.adapters.http.dial import Dialer
from atomic.adapters.http.gate import FAILURES_MAX, DialGate, NotDialled, Unreachable
from atomic.adapters.http.pool import Pool
from atomic.adapters.http.request import Target, encode, target_of
from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse, NotMade
from atomic.domain.step_errors import StepError
from atomic.protocol.error_kinds import ErrorKind


class HttpInvoker:
    """Makes attempts. It belongs to the event loop of its first attempt; close it after the last one.

    `allows` decides about each IP address before it is dialled; by default only public ones are.
    `tls` replaces the default context. `failures_max`: see `DialGate`.
    """

    def __init__(
        self,
        *,
        allows: Callable[[str], bool] = is_public,
        tls: ssl.SSLContext | None = None,
        failures_max: int = FAILURES_MAX,
    ) -> None:
        self._pool = Pool()
        self._gate = DialGate(failures_max)
        self._dialer = Dialer(allows=allows, tls=tls)

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
        connection = self._pool.take(target.origin)
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
        make = partial(Connection, self._pool.forget)
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
