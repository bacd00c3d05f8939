"""Clients and their keys as the engine uses them, made from the stored records."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

from atomic.application.redaction import redaction_key
from atomic.domain.clients import api_keys
from atomic.domain.clients.client import Client
from atomic.domain.clients.records import ClientRecord, StoredKey, is_live
from atomic.protocol.signatures import decode_secret


def client_of(record: ClientRecord, now_ms: int, pepper: bytes) -> Client:
    """The client as the engine uses it, with every scope."""
    return Client(
        id=record.id,
        base_urls=record.base_urls,
        signing_secrets=tuple(
            decode_secret(secret.text) for secret in record.secrets if is_live(secret, now_ms)
        ),
        quota=record.quota,
        ed25519=record.ed25519,
        redact=record.redact,
        redaction_key=redaction_key(pepper, record.id) if record.redact else b"",
        callbacks=record.callbacks,
        origins=record.origins,
        key_ids=frozenset(key.id for key in record.keys if is_live(key, now_ms)),
        attempt_key=hmac.digest(pepper, b"attempt:" + record.id.encode(), "sha256"),
    )


def callback_key(pepper: bytes) -> bytes:
    """The key of callback tokens. A token does not name its client, so all clients share it."""
    return hmac.digest(pepper, b"callbacks", "sha256")


@dataclass(frozen=True, slots=True)
class CachedKey:
    """A key, and its client with the key's scopes."""

    key: StoredKey
    client: Client

    def opens(self, api_key: str, *, pepper: bytes, now_ms: int) -> bool:
        """Whether the text is this key, and the key is still valid."""
        is_same = api_keys.opens(api_key, bytes.fromhex(self.key.digest), pepper)
        return is_same and is_live(self.key, now_ms)

    def is_under(self, pepper: bytes) -> bool:
        """Whether the key may have been hashed with this pepper."""
        return _is_under(self.key, pepper)


def cached_keys(record: ClientRecord, client: Client) -> dict[str, CachedKey]:
    """The client's keys by their ids, each with the scopes it has."""
    return {
        key.id: CachedKey(key, replace(client, scopes=frozenset(key.scopes), key_id=key.id))
        for key in record.keys
    }


def locked_out(records: Iterable[ClientRecord], pepper: bytes | None, now_ms: int) -> list[str]:
    """The ids of clients with a live key that was hashed with another pepper and is therefore refused.

    Without a pepper, every live key is refused. Keys that do not name their pepper are not checked.
    """
    return [
        record.id
        for record in records
        if any(is_live(key, now_ms) and not _is_under(key, pepper) for key in record.keys)
    ]


def _is_under(key: StoredKey, pepper: bytes | None) -> bool:
    return pepper is not None and key.pepper in {None, api_keys.name_of_pepper(pepper)}
