"""Which requests are refused because of the name that they come by, or of the page that makes them."""

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Any, Final

from atomic.protocol.problems import FOREIGN_ORIGIN, MISDIRECTED, Problem, invalid

# RFC 3986, 3.2: an address in brackets or a name, and a port.
_AUTHORITY: Final = re.compile(
    r"(\[[0-9a-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::[0-9]*)?", re.IGNORECASE | re.ASCII
)


class BrowserCheck:
    """Checks `Host` and `Origin`, so that a foreign web page cannot use a browser to reach this server.

    A page's own name may be bound to 127.0.0.1 (DNS rebinding), so `Host` must be a name of this server. A
    form or script of another origin may post without a preflight, so `Origin`, if present, must be this
    server.

    `names` are the names of this server beside `localhost` and every IP address; None allows any name.
    """

    def __init__(self, names: Collection[str] | None = None) -> None:
        self._names = None if names is None else frozenset(map(str.lower, names))

    def refusal(self, headers: Mapping[str, str]) -> Problem | None:
        """The problem of a request that is refused; None for others. Every browser sends a `Host`."""
        host = headers.get("host")
        if host is not None and (refusal := self._not_ours(host)):
            return refusal
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != (host or "").lower():
            return Problem(
                FOREIGN_ORIGIN,
                "Origin: pages of other servers may not call this one, unless the client lists their "
                "origin (`atomic clients origins`, or --allow-origin with --dev). A proxy in between must "
                "pass `Host` on unchanged (nginx: proxy_set_header Host $http_host).",
            )
        return None

    def _not_ours(self, host: str) -> Problem | None:
        match = _AUTHORITY.fullmatch(host)
        if match is None:
            return invalid("Host", "send a name or an address, optionally followed by a colon and a port")
        name = match[1].strip("[]").lower().rstrip(".")
        if self._names is None or name in self._names or name == "localhost":
            return None
        if name.endswith(".localhost") or _is_ip(name):
            return None
        return Problem(
            MISDIRECTED,
            "Host: not a name of this server; its names are those of --public-url and --allow-host.",
        )


def _is_ip(name: str) -> bool:
    # Unlike a name, an address cannot be bound to another address.
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def wrong_host(scope: Mapping[str, Any], hosts: int) -> Problem | None:
    """The problem for a wrong Host header (RFC 9112, 3.2). Health checks by HTTP/1.0 may have none."""
    if hosts == 1 or (hosts == 0 and scope["http_version"] == "1.0"):
        return None
    return invalid("Host", "HTTP/1.1 needs this header once; send the name or address that you connect to")
