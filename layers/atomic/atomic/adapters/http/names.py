"""Looking names up: one look-up a name at a time, each in a thread of its own.

uvloop has four threads for it and asyncio a few more, and a look-up cannot be cancelled before the resolver
times out. So a name whose server does not answer would block all others.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from socket import SOCK_STREAM, getaddrinfo, socket
from threading import Thread
from typing import Any, Final

from atomic.adapters.http.gate import NotDialled
from atomic.adapters.http.lacks import own_lack
from atomic.protocol.error_kinds import ErrorKind

# One thread each; only look-ups without an answer accumulate.
_AT_ONCE: Final = 256
_ROOM_S: Final = 1.0
Found = Sequence[str] | NotDialled


class Names:
    """The addresses of names. It belongs to the event loop of the first look-up."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[Found]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """In the order of the system's preference, alternating the families; empty for a name without any.

        Raises NotDialled if too many look-ups are running.
        """
        while host not in self._under_way and len(self._under_way) >= _AT_ONCE:
            waiting = self._under_way.values()
            done, _ = await asyncio.wait(waiting, timeout=_ROOM_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise NotDialled(ErrorKind.RESOURCES_EXHAUSTED, f"{_AT_ONCE} names are being looked up")
        if host not in self._under_way:
            self._begin(host)
        # Other callers may wait for it, too.
        found = await asyncio.shield(self._under_way[host])
        if isinstance(found, NotDialled):
            raise found
        return found

    def _begin(self, host: str) -> None:
        loop = asyncio.get_running_loop()

        def settle(found: Found) -> None:
            self._under_way.pop(host).set_result(found)

        def ask() -> None:
            found: Found
            try:
                found = _look_up(host)
            except NotDialled as lack:
                found = lack
            # The loop may be closed by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, found)

        with own_lack():
            # A look-up must not delay the end of the process either.
            Thread(target=ask, name="atomic-names", daemon=True).start()
        self._under_way[host] = loop.create_future()


def _look_up(host: str) -> Sequence[str]:
    found: list[Any] = []
    with suppress(OSError, UnicodeError), own_lack():
        found = getaddrinfo(host, None, type=SOCK_STREAM)
    if not found:
        # Without a free file descriptor the resolver reports that the name does not exist.
        with own_lack():
            socket().close()
    families = dict.fromkeys(family for family, *_ in found)
    by_family = [[str(entry[4][0]) for entry in found if entry[0] == family] for family in families]
    return list(dict.fromkeys(filter(None, chain.from_iterable(zip_longest(*by_family)))))
