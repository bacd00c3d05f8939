"""Where Atomic is and who we are: arguments first, then the environment, then a laptop's defaults."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

URL: Final = "ATOMIC_URL"
CLIENT_ID: Final = "ATOMIC_CLIENT_ID"
API_KEY: Final = "ATOMIC_API_KEY"
SIGNING_SECRET: Final = "ATOMIC_SIGNING_SECRET"  # noqa: S105 - the name of a variable, not a secret
BASE_URL: Final = "ATOMIC_BASE_URL"


@dataclass(frozen=True, slots=True)
class ApiTarget:
    """An API and a client of it; `api_key` is empty where the server asks for none."""

    url: str
    client_id: str
    api_key: str


def connection(url: str | None, client_id: str | None, api_key: str | None) -> ApiTarget:
    """What is not given comes from ATOMIC_URL, ATOMIC_CLIENT_ID and ATOMIC_API_KEY.

    Raises ValueError for what is no URL of a server.
    """
    return ApiTarget(
        url=checked(URL, url or os.environ.get(URL) or "http://127.0.0.1:8787").rstrip("/"),
        client_id=client_id or os.environ.get(CLIENT_ID) or "dev",
        api_key=api_key or os.environ.get(API_KEY) or "",
    )


def proxy_of(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for a URL; this machine has none.

    Raises ValueError for one that speaks no HTTP.
    """
    from urllib.request import getproxies, proxy_bypass  # a tenth of the SDK's import

    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or _is_this_machine(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    scheme, is_whole, _ = proxy.partition("://")
    if is_whole and scheme not in {"http", "https"}:
        raise ValueError(
            f"the environment has a {scheme} proxy for {url}: use an HTTP one, or NO_PROXY={host}"
        )
    return proxy if is_whole else f"http://{proxy}"


def ca_file() -> str | None:
    """A file or folder of certificates to trust instead of the usual ones, where the environment names one.

    Raises ValueError for one that is not there.
    """
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR"):
        path = os.environ.get(name)
        if path and not os.path.exists(path):
            raise ValueError(f"{name} names {path!r}, and nothing is there")
        if path:
            return path
    return None


def has_api_key() -> bool:
    """Whether ATOMIC_API_KEY is set."""
    return bool(os.environ.get(API_KEY))


def signing_secrets() -> tuple[str, ...]:
    """The secrets of ATOMIC_SIGNING_SECRET, separated by white space while they rotate."""
    return tuple(os.environ.get(SIGNING_SECRET, "").split())


def base_url() -> str:
    """ATOMIC_BASE_URL: where Atomic reaches this application; empty when the request shall tell.

    Raises ValueError for what is no URL of a server.
    """
    url = os.environ.get(BASE_URL, "")
    return checked(BASE_URL, url) if url else ""


def checked(name: str, url: str) -> str:
    """The URL of a server. Raises ValueError, which names the setting, for what is none."""
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if is_url:
        return url
    meant = f"http://{url}" if "://" not in url else "http://127.0.0.1:8787"
    raise ValueError(f"{name} {url!r} is no URL of a server: write scheme, host and port, as in {meant}")


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False
