"""The record of a client: its API keys (hashed), signing secrets, base URLs and quota."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, TypeVar

from atomic.domain.clients.quota import Quota
from atomic.domain.hooks import Hook, load_hooks
from atomic.domain.retentions import NO_RETENTIONS, Retentions, load_retentions
from atomic.domain.workflow_pauses import WorkflowPause, load_workflow_pauses

# These keys have a record as those of a client have. No client can have such an id.
OPERATOR_ID: Final = "_operator"
_LIVE_MAX: Final = 2
# A store may have to name every key of a client in one transaction.
KEYS_MAX: Final = 20


class ClientConflictError(ValueError):
    """The change conflicts with the client's current state; the message says what to do first."""


class UnknownClient(ValueError):
    """The client does not exist."""


class UnknownKey(ValueError):
    """The client does not have this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """An API key; `digest` is in hex. Valid until `expires_at_ms` (Unix ms); None means it never expires.

    `takes_over` is the id of the key that it replaces, `pepper` names the pepper of the digest.
    """

    id: str
    digest: str
    scopes: tuple[str, ...]
    created_at_ms: int
    expires_at_ms: int | None = None
    takes_over: str | None = None
    pepper: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A signing secret in its printable form. It signs until `expires_at_ms`; None means for ever."""

    text: str
    created_at_ms: int
    expires_at_ms: int | None = None


Kept = TypeVar("Kept", StoredKey, StoredSecret)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client. `version` fences writes; a new one has 0."""

    id: str
    base_urls: tuple[str, ...]
    keys: tuple[StoredKey, ...]
    secrets: tuple[StoredSecret, ...]
    created_at_ms: int
    quota: Quota = field(default_factory=Quota)
    ed25519: bool = False
    redact: tuple[str, ...] = ()
    callbacks: bool = True
    origins: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    hooks: tuple[Hook, ...] = ()
    workflow_pauses: tuple[WorkflowPause, ...] = ()
    retentions: Retentions = NO_RETENTIONS
    version: int = 0

    def to_json(self) -> str:
        """The record as JSON, without id and version, which stores keep in columns of their own."""
        members = asdict(self)
        del members["id"], members["version"]
        return json.dumps(members)

    @classmethod
    def from_json(cls, client_id: str, version: int, text: str) -> "ClientRecord":
        """The record from what `to_json` wrote, with id and version."""
        members: dict[str, Any] = json.loads(text)
        keys = tuple(StoredKey(**{**key, "scopes": tuple(key["scopes"])}) for key in members.pop("keys"))
        secrets = tuple(StoredSecret(**secret) for secret in members.pop("secrets"))
        quota = Quota(**members.pop("quota"))
        base_urls = tuple(members.pop("base_urls"))
        redact = tuple(members.pop("redact", ()))
        origins = tuple(members.pop("origins", ()))
        roles = tuple(members.pop("roles", ()))
        hooks = load_hooks(members.pop("hooks", ()))
        workflow_pauses = load_workflow_pauses(members.pop("workflow_pauses", ()))
        retentions = load_retentions(members.pop("retentions", {}))
        return cls(
            id=client_id,
            version=version,
            keys=keys,
            secrets=secrets,
            quota=quota,
            base_urls=base_urls,
            redact=redact,
            origins=origins,
            roles=roles,
            hooks=hooks,
            workflow_pauses=workflow_pauses,
            retentions=retentions,
            **members,
        )


def is_live(kept: StoredKey | StoredSecret, now_ms: int) -> bool:
    """Whether it has not expired."""
    return kept.expires_at_ms is None or kept.expires_at_ms > now_ms


def with_key(record: ClientRecord, key: StoredKey, *, overlap_ms: int = 0) -> ClientRecord:
    """The record with one more key. The key that it replaces expires after the overlap; others stay.

    Expired keys are removed. Raises Conflict if the replaced key has a live successor or is one itself, or
    if there are too many keys.
    """
    now_ms = key.created_at_ms
    live = [other for other in record.keys if is_live(other, now_ms)]
    pair = [other.id for other in live if _is_pair(key.takes_over, other, live)]
    if len(pair) >= _LIVE_MAX:
        raise ClientConflictError(
            f"two keys are live already, {' and '.join(pair)}; revoke the one that is not used"
        )
    if len(live) >= KEYS_MAX:
        raise ClientConflictError(f"there are {KEYS_MAX} live keys; revoke one of them first")
    kept = [_ending(other, now_ms + overlap_ms) if other.id == key.takes_over else other for other in live]
    return replace(record, keys=(*kept, key))


def key_to_replace(record: ClientRecord, key_id: str | None, now_ms: int) -> StoredKey | None:
    """The live key with this id; without an id the only one that has no live successor, if there is one.

    Raises UnknownKey if no live key has the id, and Conflict if several keys could be meant.
    """
    live = [key for key in record.keys if is_live(key, now_ms)]
    if key_id is not None:
        found = [key for key in live if key.id == key_id]
        if not found:
            raise UnknownKey(_unknown_key(record, key_id))
        return found[0]
    succeeded = {key.takes_over for key in live}
    newest = [key for key in live if key.id not in succeeded]
    if len(newest) > 1:
        ids = ", ".join(f"{key.id} ({' '.join(key.scopes)})" for key in newest)
        raise ClientConflictError(f"{_name(record)} has several keys, {ids}; name one by --key")
    return newest[0] if newest else None


def without_key(record: ClientRecord, key_id: str) -> ClientRecord:
    """The record without a key. Raises UnknownKey if the client does not have it."""
    left = tuple(key for key in record.keys if key.id != key_id)
    if len(left) == len(record.keys):
        raise UnknownKey(_unknown_key(record, key_id))
    return replace(record, keys=left)


def with_secret(record: ClientRecord, secret: StoredSecret, *, overlap_ms: int) -> ClientRecord:
    """The record with one more signing secret. Raises Conflict if two are live already.

    The others sign for the overlap. Expired secrets are removed.
    """
    now_ms = secret.created_at_ms
    live = [other for other in record.secrets if is_live(other, now_ms)]
    if len(live) >= _LIVE_MAX:
        raise ClientConflictError(
            "two signing secrets are live already; wait until the older one has ended"
        )
    ending = [_ending(other, now_ms + overlap_ms) for other in live]
    return replace(record, secrets=(*ending, secret))


def _is_pair(key_id: str | None, other: StoredKey, live: list[StoredKey]) -> bool:
    """Whether the other key is this one, its live successor, or the live key that it replaces."""
    if key_id is None:
        return False
    before = [key.takes_over for key in live if key.id == key_id]
    return other.id == key_id or other.takes_over == key_id or other.id in before


def _unknown_key(record: ClientRecord, key_id: str) -> str:
    known = ", ".join(key.id for key in record.keys) or "none"
    return f"{_name(record)} has no key {key_id!r}; it has {known}"


def _name(record: ClientRecord) -> str:
    return "the operator" if record.id == OPERATOR_ID else repr(record.id)


def _ending(kept: Kept, at_ms: int) -> Kept:
    """The same, expiring at the moment or before."""
    end_ms = at_ms if kept.expires_at_ms is None else min(kept.expires_at_ms, at_ms)
    return replace(kept, expires_at_ms=end_ms)
