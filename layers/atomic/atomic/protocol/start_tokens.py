"""Start tokens: keys for pages and other programs that nobody can keep secret for long.

A token says which runs it may start and read, and until when, and proves it by a MAC. It is checked without
a read, and nothing is stored for it.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# What tells a token from an API key.
PREFIX: Final = "ast_"
# A header of this size passes every gateway.
TOKEN_MAX_CHARS: Final = 4096
# The names of the members in a token, which should be short.
_MEMBERS: Final = {
    "c": "client_id",
    "k": "key_id",
    "w": "workflows",
    "p": "key_prefix",
    "r": "steps",
    "e": "ends_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartToken:
    """What a token allows: to start these workflows, by name and URL, under keys with this prefix.

    It may read the roots of these runs and, with `steps`, all of their steps. It was made for the API key
    `key_id` of the client, and is valid until `ends_s` (seconds since the epoch), or until that key is not.
    """

    client_id: str
    key_id: str
    workflows: Mapping[str, str]
    key_prefix: str
    steps: bool
    ends_s: int

    def covers(self, workflow_name: str, url: str, idempotency_key: str) -> bool:
        """Whether the run of this name, URL and key is one that the token may start and read."""
        return self.workflows.get(workflow_name) == url and idempotency_key.startswith(self.key_prefix)


def start_token(key: bytes, token: StartToken) -> str:
    """The text of a token: what it says in base64, a dot, and an HMAC-SHA256."""
    said = {short: getattr(token, name) for short, name in _MEMBERS.items()}
    head = PREFIX + _encoded(json.dumps(said, separators=(",", ":")).encode())
    return f"{head}.{_mac(key, head)}"


def is_start_token(text: str) -> bool:
    """Whether the text claims to be a token."""
    return text.startswith(PREFIX)


def parse_start_token(valid_keys: Sequence[bytes], text: str, now_s: int) -> StartToken | None:
    """What the token says; None when it is not valid, or not any more, or made under another key."""
    head, _, mac = text.rpartition(".")
    given = mac.encode(errors="replace")
    if not any(hmac.compare_digest(_mac(key, head).encode(), given) for key in valid_keys):
        return None
    # Only what this server wrote is read.
    said = json.loads(urlsafe_b64decode(head.removeprefix(PREFIX) + "=="))
    token = StartToken(**{name: said[short] for short, name in _MEMBERS.items()})
    return token if now_s < token.ends_s else None


def _mac(key: bytes, head: str) -> str:
    return _encoded(hmac.digest(key, head.encode(errors="replace"), "sha256"))


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
