"""What a client may be, the same on every home that keeps clients."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from atomic.protocol import keys


def check_client(client_id: str, base_urls: Sequence[str], starts_per_s: float | None) -> None:
    """Raise ValueError for an id, URL or rate that cannot be used; the message says what to change."""
    if not keys.is_client_id(client_id):
        raise ValueError(
            f"the client id {client_id!r} cannot be used: take 1 to 64 letters, digits, '_' or '-', first "
            f"a letter or digit, and none of {', '.join(sorted(keys.RESERVED_CLIENT_IDS))}"
        )
    if not base_urls:
        raise ValueError("give at least one base URL, as in https://app.example/")
    for url in base_urls:
        _check_url(url)
    if starts_per_s is not None and not 0 < starts_per_s < float("inf"):
        raise ValueError("starts per second must be more than 0; leave it out for no limit")


def already_exists(client_id: str) -> ValueError:
    """What is raised when the id is taken."""
    return ValueError(f"the client {client_id!r} exists already; choose another id")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(char <= " " or char == "\\" for char in url):
        raise ValueError(f"the base URL {url!r} is not an absolute http(s) URL, as in https://app.example/")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError(f"the base URL {url!r} must have no user name, query or fragment")
