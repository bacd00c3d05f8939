"""Clients and their keys as the engine uses them, made from the stored records."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

from atomic.application.redaction import redaction_key
from atomic.domain.clients import api_keys
from atomic.domain.clients.api_keys import Peppers
from atomic.domain.clients.client import Client
from atomic.domain.clients.records import ClientRecord, StoredKey, is_live
from atomic.protocol.signatures import decode_secret


def client_of(record: ClientRecord, now_ms: int, peppers: Peppers) -> Client:
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
        redaction_key=redaction_key(peppers.current, record.id) if record.redact else b"",
        callbacks=record.callbacks,
        origins=record.origins,
        roles=record.roles,
        hooks=record.hooks,
        workflow_pauses=record.workflow_pauses,
        retentions=record.retentions,
        key_ids=frozenset(key.id for key in record.keys if is_live(key, now_ms)),
        attempt_keys=_derived(peppers, b"attempt:" + record.id.encode()),
    )


def callback_keys(peppers: Peppers) -> tuple[bytes, ...]:
    """The keys of callback tokens. A token does not name its client, so all clients share them."""
    return _derived(peppers, b"callbacks")


def _derived(peppers: Peppers, purpose: bytes) -> tuple[bytes, ...]:
    return tuple(hmac.digest(pepper, purpose, "sha256") for pepper in peppers.all)


@dataclass(frozen=True, slots=True)
class CachedKey:
    """A key, its client with the key's scopes, and the peppers that it may have been hashed with."""

    key: StoredKey
    client: Client
    peppers: tuple[bytes, ...]

    def opens(self, api_key: str, *, now_ms: int) -> bool:
        """Whether the text is this key, and the key is still valid."""
        stored = bytes.fromhex(self.key.digest)
        is_same = any(api_keys.opens(api_key, stored, pepper) for pepper in self.peppers)
        return is_same and is_live(self.key, now_ms)


def cached_keys(record: ClientRecord, client: Client, peppers: Peppers) -> dict[str, CachedKey]:
    """The client's keys by their ids, each with the scopes it has."""
    found = {}
    for key in record.keys:
        possible = _peppers_of(key, peppers)
        is_old = peppers.current not in possible
        holder = replace(client, scopes=frozenset(key.scopes), key_id=key.id, has_old_hash=is_old)
        found[key.id] = CachedKey(key, holder, possible)
    return found


def locked_out(records: Iterable[ClientRecord], peppers: Peppers | None, now_ms: int) -> list[str]:
    """The ids of clients with a live key that was hashed with another pepper and is therefore refused.

    Without a pepper, every live key is refused. Keys that do not name their pepper are not checked.
    """
    return [
        record.id
        for record in records
        if any(is_live(key, now_ms) and not (peppers and _peppers_of(key, peppers)) for key in record.keys)
    ]


def _peppers_of(key: StoredKey, peppers: Peppers) -> tuple[bytes, ...]:
    """Those that the key may have been hashed with."""
    return tuple(pepper for pepper in peppers.all if key.pepper in {None, api_keys.name_of_pepper(pepper)})
