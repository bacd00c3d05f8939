"""The one parser of URLs: those of callers, base URLs, and the address that is dialled.

It accepts what RFC 3986 and the WHATWG agree on and refuses the rest, so that no two parsers can differ.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple
from urllib.parse import unquote

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_VISIBLE_ASCII: Final = re.compile(r"[!-\[\]-~]+")
_URL: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>[^\[\]/?:]+|\[[^\[\]/?]+\])(?::(?P<port>[0-9]{1,5}))?(?P<target>[/?].*)?",
    re.IGNORECASE,
)
_LABELS: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_HOST_MAX_CHARS: Final = 253
# A host whose last label is a number is an address to every resolver: `127.1`, `0x7f000001`, `2130706433`.
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
# Overlong two-byte forms of "." and "/", which RFC 3629, 3 forbids.
_OVERLONG: Final = re.compile(r"%c0%a([ef])", re.IGNORECASE)
_DECODED_MAX: Final = 5
_IGNORED: Final = re.compile(r"[;\x00].*", re.DOTALL)

# The beginning of the URLs of Lambda functions.
LAMBDA: Final = "lambda:"
# A function by its name or its ARN, with a version or an alias.
_FUNCTION: Final = (
    r"(?P<function>(?P<arn>arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:)?"
    r"[0-9A-Za-z_-]{1,64}(?::[0-9A-Za-z$_-]{1,128})?)"
)
_LAMBDA: Final = re.compile(rf"lambda:{_FUNCTION}(?P<target>[/?].*)?")
# Instead of the end of the name, a base URL may have a star.
_LAMBDA_BASE: Final = re.compile(
    rf"lambda:(?:{_FUNCTION}|(?P<any>(?P<of>arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{{12}}:function:)?"
    r"[0-9A-Za-z_-]{0,64}\*))(?P<target>[/?].*)?"
)

# The beginning of the URLs of event buses of EventBridge. Only hooks may have them.
BUS: Final = "eventbridge:"
_BUS: Final = re.compile(r"eventbridge:(?P<bus>[0-9A-Za-z._-]{1,256})")
A_BUS: Final = "use eventbridge:NAME, with the name of an event bus"

FUNCTION: Final = "use lambda:NAME/path or lambda:ARN/path; a version or an alias follows after a colon"
ABSOLUTE: Final = "use an absolute URL, as in https://app.example/steps/mail"
ASCII: Final = "use an ASCII URL with a valid host and port"
PLAIN: Final = "leave out the user name and the fragment"


class Url(NamedTuple):
    """A URL taken apart. Of a `lambda:` URL, `host` is the name or ARN of the function, and `port` is 0.

    Of an `eventbridge:` URL, `host` is the name of the bus, and `port` is 0.

    `host` is in lower case, an IPv6 literal in its canonical form and without brackets. `target` is path
    and query as they were given, and begins with "/".
    """

    scheme: str
    host: str
    port: int
    target: str
    is_literal: bool

    @property
    def authority(self) -> str:
        """Host and port for a `Host` header: a default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """The path without the query, still encoded."""
        return self.target.partition("?")[0]


@lru_cache(maxsize=1024)
def parse_url(text: str) -> Url:
    """Take a URL apart; raises ValueError with the cure."""
    if not _VISIBLE_ASCII.fullmatch(text):
        # A leading space or line end hides the scheme from this check, but not from a lenient parser.
        raise ValueError(ASCII if text else ABSOLUTE)
    if is_function(text):
        return _function(_LAMBDA, text)
    if is_bus(text):
        return _bus(text)
    authority = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]
    if text.partition("://")[0].lower() not in _DEFAULT_PORTS or authority.partition(":")[0] == "":
        raise ValueError(ABSOLUTE)
    if "@" in authority or "#" in text:
        raise ValueError(PLAIN)
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(ASCII)
    scheme = match["scheme"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    host, is_literal = _host(match["host"].lower())
    if not 0 < port < 65536:
        raise ValueError(ASCII)
    target = match["target"] or "/"
    return Url(scheme, host, port, target if target.startswith("/") else f"/{target}", is_literal)


def with_ascii_host(text: str) -> str:
    """The URL with its host in A-labels (IDNA 2008, UTS 46), as the wire wants it; raises ValueError."""
    scheme, mark, rest = text.partition("://")
    host = re.split(r"[/?#:]", rest, maxsplit=1)[0]
    if host.isascii():
        return text
    # Importing its tables takes tens of milliseconds, and few URLs need them.
    import idna

    try:
        encoded = idna.encode(host, uts46=True, std3_rules=True).decode()
    except idna.IDNAError:
        raise ValueError(ASCII) from None
    return f"{scheme}{mark}{encoded}{rest[len(host) :]}"


def is_function(url: str) -> bool:
    """Whether the URL is meant as that of a Lambda function."""
    return url.startswith(LAMBDA)


def is_bus(url: str) -> bool:
    """Whether the URL is meant as that of an event bus."""
    return url.startswith(BUS)


def parse_base_url(text: str) -> Url:
    """Take a base URL apart; a function may end with a star. Raises ValueError with the cure."""
    return _function(_LAMBDA_BASE, text) if is_function(text) else parse_url(text)


def _function(pattern: re.Pattern[str], text: str) -> Url:
    match = pattern.fullmatch(text)
    if match is None or "#" in text:
        raise ValueError(FUNCTION)
    named = match["function"] or match["any"]
    target = match["target"] or "/"
    return Url("lambda", named, 0, target if target.startswith("/") else f"/{target}", is_literal=False)


def _bus(text: str) -> Url:
    match = _BUS.fullmatch(text)
    if match is None:
        raise ValueError(A_BUS)
    return Url("eventbridge", match["bus"], 0, "/", is_literal=False)


def is_under(url: str, base_urls: Iterable[str]) -> bool:
    """Whether scheme, host and port (or the function) are those of a base, whose path begins the path.

    Paths are compared at segment boundaries: `/app` allows `/app` and `/app/x`, not `/application`.
    """
    parts = parse_url(url)
    return not _climbs(parts.path) and any(_starts_with(parts, parse_base_url(base)) for base in base_urls)


# Cached, since a client calls few URLs again and again.
@lru_cache(maxsize=1024)
def _climbs(path: str) -> bool:
    """Whether a server could read a segment of an encoded path as `.` or `..`.

    Servers differ in what they decode, and how often; some accept overlong forms, and some drop the
    parameters of a segment or what follows a NUL. No valid use needs more than a few layers.
    """
    for _ in range(_DECODED_MAX):
        decoded = unquote(_OVERLONG.sub(r"%2\1", path))
        if decoded == path:
            break
        path = decoded
    else:
        return True
    segments = re.split(r"[/\\]", path)
    return not {".", ".."}.isdisjoint(_IGNORED.sub("", segment).strip() for segment in segments)


def _starts_with(parts: Url, base: Url) -> bool:
    prefix = base.path.rstrip("/")
    return _is_at(parts, base) and (parts.path.rstrip("/") == prefix or parts.path.startswith(prefix + "/"))


def _is_at(parts: Url, base: Url) -> bool:
    if not base.host.endswith("*"):
        return parts[:3] == base[:3]
    # A star in place of a name does not reach ARNs, which begin like a name.
    account, name = _parted(parts.host)
    of, beginning = _parted(base.host[:-1])
    return parts.scheme == base.scheme and account == of and name.startswith(beginning)


def _parted(function: str) -> tuple[str, str]:
    """The ARN up to the name of the function, which may be empty, and the rest."""
    before, mark, name = function.partition(":function:")
    return (before, name) if mark else ("", function)


def _host(host: str) -> tuple[str, bool]:
    """The host in its canonical spelling, and whether it is an IP address."""
    try:
        if host.startswith("["):
            if "%" in host:
                raise ValueError(ASCII)
            return str(IPv6Address(host[1:-1])), True
        if _ENDS_IN_NUMBER.fullmatch(host):
            return str(IPv4Address(host)), True
    except AddressValueError:
        raise ValueError(ASCII) from None
    if len(host.rstrip(".")) > _HOST_MAX_CHARS or not _LABELS.fullmatch(host):
        raise ValueError(ASCII)
    return host, False
