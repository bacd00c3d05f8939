"""What came in, as every framework adapter hands it to the handler; with the path as it was sent.

Frameworks decode the path, and `%2F` becomes a slash; here it stays percent-encoded.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from atomic.sdk._transport import checked
from atomic.sdk._waits import OWN_S

_BASE_URL: Final = "ATOMIC_BASE_URL"
# What may stand in a path as it is (RFC 3986, 3.3).
_PLAIN: Final = "/:@!$&'()*+,;=~"
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class RawPath(NamedTuple):
    """A path in two parts, percent-encoded.

    `root` stands before the application's own paths (a proxy's prefix, `--root-path`, SCRIPT_NAME). It is
    empty or begins with "/", and does not end with it. `path` is the rest. A server may or may not have
    `root` in the path that it hands on.
    """

    root: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: scheme, host and port, the path as it was sent, headers with lower-case names, the body
    as it was signed.

    `wait_s` is how long a handler waits for its steps on this server when its options do not say.
    """

    origin: str
    at: RawPath
    headers: Mapping[str, str]
    body: bytes
    wait_s: float = OWN_S

    def own_url(self, base_url: str, signed_url: str) -> str:
        """Where the endpoint is: as the application was told, else as Atomic signed, else as it sees.

        `base_url` is an option of the endpoint, ATOMIC_BASE_URL when that is empty; `signed_url` is empty
        when none was signed. Raises ValueError when ATOMIC_BASE_URL is not the URL of a server.
        """
        base = base_url or os.environ.get(_BASE_URL, "")
        if base:
            return below(base if base_url else checked(_BASE_URL, base), self.at.root) + self.at.path
        if signed_url:
            parts = urlsplit(signed_url)
            return f"{parts.scheme}://{parts.netloc}{parts.path}"
        return self.origin + self.at.root + self.at.path


def of_scope(scope: Mapping[str, Any]) -> RawPath:
    """Of an ASGI application. What is mounted within it belongs to its own paths."""
    sent = (scope.get("raw_path") or b"").partition(b"?")[0].decode("latin-1")
    root = scope.get("app_root_path", scope.get("root_path", ""))
    # Where the two differ middleware has changed the decoded one, which counts. What is not UTF-8 is
    # decoded to replacement characters.
    return _parted(root.encode(), sent if unquote(sent) == scope["path"] else "", scope["path"].encode())


def of_environ(environ: Mapping[str, Any], charset: str = "latin-1") -> RawPath:
    """Of a WSGI application. If the server does not give the raw path, `%2F` is lost."""
    root, rest = (environ.get(name, "").encode(charset) for name in ("SCRIPT_NAME", "PATH_INFO"))
    sent = str(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "").partition("?")[0]
    if not sent.startswith("/"):
        sent = urlsplit(sent).path
    # Some servers, too, decode to replacement characters. Middleware may have changed the others; then they
    # count.
    decoded = {unquote_to_bytes(sent), unquote(sent).encode()}
    return _parted(root, "" if decoded.isdisjoint((root + rest, rest)) else sent, rest)


def encoded(path: str) -> str:
    """A path that may be decoded or not, as some gateways have it: what cannot stand in one is encoded."""
    return quote(_LONE_PERCENT.sub("%25", path), safe=f"{_PLAIN}%")


def below(base_url: str, root: str) -> str:
    """What the application's own paths follow, at a base URL that may name some of `root` itself."""
    base_url = base_url.rstrip("/")
    known, segments = urlsplit(base_url).path, root.split("/")[1:]
    for count in range(len(segments), 0, -1):
        if known.endswith("/" + "/".join(segments[:count])):
            return "/".join([base_url, *segments[count:]])
    return base_url + root


def _parted(root: bytes, sent: str, decoded: bytes) -> RawPath:
    path = encoded(sent) if sent else quote(decoded, safe=_PLAIN)
    root = root.rstrip(b"/")
    count = root.count(b"/")
    parts = path.split("/")
    first = "/".join(parts[: count + 1])
    if root and unquote_to_bytes(first) == root:
        return RawPath(first, path[len(first) :])
    return RawPath(quote(root, safe=_PLAIN), path)
