"""Which URLs a client may name: those under one of its base URLs."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def is_under(url: str, base_urls: Iterable[str]) -> bool:
    """Whether scheme, host and port are those of a base and the path goes on from its path.

    Paths are compared at segment boundaries: `/app` allows `/app` and `/app/x`, not `/application`.
    """
    parts = urlsplit(url)
    # Far sides differ in what they decode first, so an escaped slash counts as one here.
    if not {".", ".."}.isdisjoint(unquote(parts.path).replace("\\", "/").split("/")):
        return False
    return any(_starts_with(parts, urlsplit(base)) for base in base_urls)


def _starts_with(parts: SplitResult, base: SplitResult) -> bool:
    prefix = base.path.rstrip("/")
    return _origin(parts) == _origin(base) and (
        parts.path.rstrip("/") == prefix or parts.path.startswith(prefix + "/")
    )


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
