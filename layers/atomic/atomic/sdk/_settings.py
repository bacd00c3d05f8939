"""Where Atomic is and who we are: arguments first, then the environment, then a laptop's defaults."""

import os
from dataclasses import dataclass
from typing import Final

URL: Final = "ATOMIC_URL"
CLIENT_ID: Final = "ATOMIC_CLIENT_ID"
API_KEY: Final = "ATOMIC_API_KEY"
SIGNING_SECRET: Final = "ATOMIC_SIGNING_SECRET"  # noqa: S105 - the name of a variable, not a secret
BASE_URL: Final = "ATOMIC_BASE_URL"


@dataclass(frozen=True, slots=True)
class Connection:
    """An API and a client of it; `api_key` is empty where the server asks for none."""

    url: str
    client_id: str
    api_key: str


def connection(url: str | None, client_id: str | None, api_key: str | None) -> Connection:
    """What is not given comes from ATOMIC_URL, ATOMIC_CLIENT_ID and ATOMIC_API_KEY."""
    return Connection(
        url=(url or os.environ.get(URL) or "http://127.0.0.1:8787").rstrip("/"),
        client_id=client_id or os.environ.get(CLIENT_ID) or "dev",
        api_key=api_key or os.environ.get(API_KEY) or "",
    )


def signing_secrets() -> tuple[str, ...]:
    """The secrets of ATOMIC_SIGNING_SECRET, separated by white space while they rotate."""
    return tuple(os.environ.get(SIGNING_SECRET, "").split())


def base_url() -> str:
    """ATOMIC_BASE_URL: where Atomic reaches this application; empty when the request shall tell."""
    return os.environ.get(BASE_URL, "")
