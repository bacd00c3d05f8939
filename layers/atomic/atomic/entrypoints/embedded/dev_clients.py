"""The registry of `--dev`: every client exists, no key is needed."""

from functools import lru_cache, partial
from pathlib import Path
from secrets import token_bytes

from atomic.adapters.secret_files import DEV_SIGNING_SECRET, kept_secret
from atomic.domain.clients.client import Client
from atomic.protocol.signatures import decode_secret, encode_secret


class DevRegistry:
    """Each well-formed client id is a client that may call every URL. All share one signing secret.

    Attempt tokens are valid until the process ends.
    """

    def __init__(self, signing_secret: bytes) -> None:
        # Each step asks for it twice.
        made = partial(Client, signing_secrets=(signing_secret,), attempt_key=token_bytes(32))
        self._client = lru_cache(maxsize=1024)(made)

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        """The client that the path names, with or without a key."""
        del api_key
        return await self.get(client_id)

    async def get(self, client_id: str) -> Client:
        """The client."""
        return self._client(id=client_id)

    def close(self) -> None:
        """There is nothing to close."""


def dev_signing_secret(data_dir: Path) -> str:
    """The signing secret of a data directory as text; it is made at first use."""
    made = kept_secret(
        data_dir / DEV_SIGNING_SECRET, lambda: f"{encode_secret(token_bytes(24))}\n".encode()
    )
    text = made.decode().strip()
    decode_secret(text)
    return text
