"""The request as bytes. URL and headers are checked here, so that nothing can be injected into the head."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from atomic.adapters.http.pool import Origin
from atomic.application.ports import EndpointRequest
from atomic.protocol.urls import parse_url

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
