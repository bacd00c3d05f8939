"""Against browsers that were led astray: a page of somebody else must not reach a server on loopback.

A name of the page's own may be bound to 127.0.0.1 (DNS rebinding), so `Host` must be a name of this server.
A form or script may post from elsewhere without asking, so `Origin`, where there is one, must be this one.
"""

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Final

from atomic.protocol.problems import FOREIGN_ORIGIN, MISDIRECTED, Problem

_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::[0-9]{1,5})?", re.IGNORECASE)


class BrowserCheck:
    """`names` are the names of this server beside `localhost` and every IP address; None takes any name."""

    def __init__(self, names: Collection[str] | None = None) -> None:
        self._names = None if names is None else frozenset(map(str.lower, names))
        self._known: str | None = None

    def refusal(self, headers: Mapping[str, str]) -> Problem | None:
        """Why the request is not for us, None when it is."""
        host = headers.get("host", "")
        # Callers name the same host again and again.
        if host != self._known:
            if not self._is_own(host):
                return Problem(
                    MISDIRECTED,
                    "Host: not a name of this server; start it with --allow-host NAME to add one.",
                )
            self._known = host
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return Problem(FOREIGN_ORIGIN, "Origin: pages of other servers may not call this one.")
        return None

    def _is_own(self, host: str) -> bool:
        if self._names is None:
            return True
        match = _AUTHORITY.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost") or name in self._names or _is_ip(name)


def _is_ip(name: str) -> bool:
    # Nobody can bind an address to another one.
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
