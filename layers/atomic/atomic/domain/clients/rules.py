"""Rules for the settings of a client, the same on every runtime."""

from collections.abc import Sequence
from typing import Final

from atomic.protocol import keys
from atomic.protocol.urls import parse_base_url, parse_url, with_ascii_host

_NAME_MAX_CHARS: Final = 255
NAMES_MAX: Final = 100
BASE_URLS_MAX: Final = 50
ORIGINS_MAX: Final = 50


def check_client(client_id: str, base_urls: Sequence[str]) -> tuple[str, ...]:
    """The base URLs in the form that is stored, with hosts in A-labels.

    Raises ValueError for an id or URL that cannot be used; the message says what to change.
    """
    if not keys.is_client_id(client_id):
        raise ValueError(
            f"the client id {client_id!r} cannot be used: take 1 to 64 letters, digits, '_' or '-', first "
            f"a letter or digit, and none of {', '.join(sorted(keys.RESERVED_CLIENT_IDS))}"
        )
    return check_base_urls(base_urls)


def check_base_urls(base_urls: Sequence[str]) -> tuple[str, ...]:
    """The base URLs in the form that is stored, with hosts in A-labels. Raises ValueError with the cure."""
    if not base_urls:
        raise ValueError("give at least one base URL, as in https://app.example/")
    if len(base_urls) > BASE_URLS_MAX:
        raise ValueError(f"at most {BASE_URLS_MAX} base URLs can be kept")
    return tuple(map(_checked_url, base_urls))


def refuse_unusual(base_urls: Sequence[str], *, allow_http: bool, allow_ip: bool) -> None:
    """Raise ValueError, with a line for each, for base URLs without TLS or whose host is an IP address.

    The URLs must be valid otherwise.
    """
    unusual = []
    for url in base_urls:
        parts = parse_base_url(with_ascii_host(url))
        if parts.scheme == "http" and not allow_http:
            unusual.append(f"{url} is not https; use https, or say --allow-http (`allowHttp` in JSON)")
        if parts.is_literal and not allow_ip:
            unusual.append(
                f"{url} has an address for a host; use a name, or say --allow-ip (`allowIp` in JSON)"
            )
    if unusual:
        raise ValueError("\n".join(unusual))


def check_redaction(names: Sequence[str]) -> tuple[str, ...]:
    """The names of members in the form that is stored. Raises ValueError for invalid names."""
    for name in names:
        if not all(name.split(".")) or len(name) > _NAME_MAX_CHARS:
            raise ValueError(f"{name[:40]!r} names no member; write it as in email or card.number")
    if len(names) > NAMES_MAX:
        raise ValueError(f"at most {NAMES_MAX} members can be hidden")
    return tuple(dict.fromkeys(names))


def check_origins(origins: Sequence[str]) -> tuple[str, ...]:
    """The origins of pages in the form in which browsers send them. Raises ValueError with the cure."""
    if len(origins) > ORIGINS_MAX:
        raise ValueError(f"at most {ORIGINS_MAX} origins can be kept")
    return tuple(dict.fromkeys(map(_checked_origin, origins)))


def _checked_origin(origin: str) -> str:
    try:
        parts = parse_url(with_ascii_host(origin))
    except ValueError:
        parts = None
    # The path of an origin is empty, and that of a parsed URL is not.
    if parts is None or parts.port == 0 or parts.target != "/" or origin.endswith("/"):
        raise ValueError(
            f"the origin {origin!r} cannot be used: give scheme, host and port of the pages, with no path, "
            "as in https://shop.example or http://localhost:5173"
        )
    return f"{parts.scheme}://{parts.authority}"


def _checked_url(url: str) -> str:
    try:
        kept = with_ascii_host(url)
        parts = parse_base_url(kept)
    except ValueError as cure:
        raise ValueError(f"the base URL {url!r} cannot be used: {cure}") from None
    if "?" in parts.target:
        raise ValueError(f"the base URL {url!r} must have no query")
    return kept
