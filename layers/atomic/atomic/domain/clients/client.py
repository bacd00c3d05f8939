"""A client as the engine meets it."""

from dataclasses import dataclass

from atomic.domain.clients.quota import NO_QUOTA, Quota
from atomic.protocol.enums import SCOPES
from atomic.protocol.urls import is_under


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A tenant of the runtime, and what the key that opened it may do.

    An empty `base_urls` allows every URL (only `--dev` gives such clients). `redact` names members of JSON
    that its readers are shown as a hash under `redaction_key`.
    """

    id: str
    base_urls: tuple[str, ...] = ()
    signing_secrets: tuple[bytes, ...] = ()
    quota: Quota = NO_QUOTA
    ed25519: bool = False
    redact: tuple[str, ...] = ()
    redaction_key: bytes = b""
    scopes: frozenset[str] = frozenset(SCOPES)

    def may_call(self, url: str) -> bool:
        """Whether the URL is under a base URL of the client."""
        return not self.base_urls or is_under(url, self.base_urls)
