"""Opening connections: names, addresses, TLS. All connections are opened here."""

import asyncio
import os
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from atomic.adapters.http.connection import Connection, Origin
from atomic.adapters.http.gate import Unreachable
from atomic.adapters.http.lacks import own_lack
from atomic.adapters.http.names import Names
from atomic.protocol.error_kinds import ErrorKind

# A name may have a thousand addresses, and an unreachable one may not answer: then the next one is tried.
_ADDRESSES_MAX: Final = 8
_ADDRESS_S: Final = 2.0
_ERROR_MAX_CHARS: Final = 300


class Dialer:
    """Opens connections.

    `allows` is called with exactly the IP address, as text, that is dialled next; a name with one refused
    address is not dialled at all. `tls` is for tests; the default trusts the system's authorities.
    """

    def __init__(self, *, allows: Callable[[str], bool], tls: ssl.SSLContext | None = None) -> None:
        self._allows = allows
        self._tls = tls
        self._names = Names()

    def warm(self) -> None:
        """Make the context for https now, which takes 20 ms."""
        self._context()

    async def connect(self, origin: Origin, make: Callable[[], Connection]) -> Connection:
        """Open a connection; the caller bounds the time.

        Raises Unreachable, and NotDialled if this machine lacks resources for one more.
        """
        addresses = await self._addresses(origin.host)
        if not all(map(self._allows, addresses)):
            raise Unreachable("address not allowed", ErrorKind.ADDRESS_NOT_ALLOWED)
        *others, last = addresses[:_ADDRESSES_MAX]
        for address in others:
            try:
                async with asyncio.timeout(_ADDRESS_S):
                    return await self._dial(address, origin, make)
            except (OSError, ValueError):
                continue
        try:
            return await self._dial(last, origin, make)
        except (OSError, ValueError) as failure:
            raise Unreachable(_describe(failure)[:_ERROR_MAX_CHARS]) from failure

    async def _addresses(self, host: str) -> Sequence[str]:
        addresses = [host] if _is_address(host) else await self._names.addresses(host)
        if not addresses:
            raise Unreachable(f"cannot resolve {host}"[:_ERROR_MAX_CHARS])
        return addresses

    async def _dial(self, address: str, origin: Origin, make: Callable[[], Connection]) -> Connection:
        loop = asyncio.get_running_loop()
        is_tls = origin.scheme == "https"
        with own_lack():
            # The address, not the name: a second look-up could answer with another one.
            _, connection = await loop.create_connection(
                make,
                address,
                origin.port,
                ssl=self._context() if is_tls else None,
                server_hostname=origin.host.rstrip(".") if is_tls else None,
            )
        return connection

    def _context(self) -> ssl.SSLContext:
        # Loading the authorities takes tens of milliseconds, and is not needed for http.
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _describe(failure: Exception) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"TLS: certificate verify failed: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError):
        return f"TLS: {(failure.reason or 'no details').replace('_', ' ').lower()}"
    # Event loops put their own texts with the address into `strerror`.
    if isinstance(failure, OSError) and failure.errno:
        return f"cannot connect: {os.strerror(failure.errno)}"
    return f"cannot connect: {' '.join(str(failure).split()) or 'no details'}"
