"""A client as its runtime keeps it: one record of keys (hashed), signing secrets, base URLs and limits."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, TypedDict, TypeVar

from atomic.protocol.enums import SCOPES, Scope

SCOPES_DEFAULT: Final[tuple[Scope, ...]] = ("start", "read", "act")
# What keys of the operator may do: make clients, say what they may use, and manage their keys.
OPERATOR_SCOPE: Final = "operator"
# These keys have a record as those of a client have. No client can have such an id.
OPERATOR_ID: Final = "_operator"
_LIVE_MAX: Final = 2
# A store may have to name every key of a client in one transaction.
KEYS_MAX: Final = 20


class ClientConflictError(ValueError):
    """What there is of the client stands against the change; the message says what to do first."""


class UnknownClient(ValueError):
    """There is no such client."""


class UnknownKey(ValueError):
    """The client has no such key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """An API key; `digest` is in hex. It opens its client until `expires_at_ms`, None is for good.

    `takes_over` is the id of the key whose place it takes, `pepper` names the pepper of the digest.
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
    """A signing secret in its printable form; it signs until `expires_at_ms`, None is for good."""

    text: str
    created_at_ms: int
    expires_at_ms: int | None = None


Kept = TypeVar("Kept", StoredKey, StoredSecret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a client may use; None is no limit."""

    starts_per_s: float | None = None
    live_steps: int | None = None
    stored_bytes: int | None = None


class LimitChanges(TypedDict, total=False):
    """New values of some of the `Limits`."""

    starts_per_s: float | None
    live_steps: int | None
    stored_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client. `version` fences writes; a new one has 0."""

    id: str
    base_urls: tuple[str, ...]
    keys: tuple[StoredKey, ...]
    secrets: tuple[StoredSecret, ...]
    created_at_ms: int
    limits: Quota = field(default_factory=Quota)
    ed25519: bool = False
    redact: tuple[str, ...] = ()
    version: int = 0

    def to_json(self) -> str:
        """Everything but id and version, which stores keep beside it."""
        members = asdict(self)
        del members["id"], members["version"]
        return json.dumps(members)

    @classmethod
    def from_json(cls, client_id: str, version: int, text: str) -> "ClientRecord":
        """What `to_json` made, with what stands beside it."""
        members: dict[str, Any] = json.loads(text)
        keys = tuple(StoredKey(**{**key, "scopes": tuple(key["scopes"])}) for key in members.pop("keys"))
        secrets = tuple(StoredSecret(**secret) for secret in members.pop("secrets"))
        limits = Quota(**members.pop("limits"))
        base_urls = tuple(members.pop("base_urls"))
        redact = tuple(members.pop("redact", ()))
        return cls(
            id=client_id,
            version=version,
            keys=keys,
            secrets=secrets,
            limits=limits,
            base_urls=base_urls,
            redact=redact,
            **members,
        )


def is_live(kept: StoredKey | StoredSecret, now_ms: int) -> bool:
    """Whether it is still good."""
    return kept.expires_at_ms is None or kept.expires_at_ms > now_ms


def with_key(record: ClientRecord, key: StoredKey, *, overlap_ms: int = 0) -> ClientRecord:
    """With one more key; the one that it takes over from ends after the overlap, others stay.

    Keys that have ended go. Raises Conflict while that one has a live successor, or is one itself, and when
    there are too many keys.
    """
    now_ms = key.created_at_ms
    live = [other for other in record.keys if is_live(other, now_ms)]
    pair = [other.id for other in live if _is_pair(key.takes_over, other, live)]
    if len(pair) >= _LIVE_MAX:
        raise ClientConflictError(
            f"two keys are live already, {' and '.join(pair)}; revoke the one that nobody uses"
        )
    if len(live) >= KEYS_MAX:
        raise ClientConflictError(f"there are {KEYS_MAX} live keys; revoke one of them first")
    kept = [_ending(other, now_ms + overlap_ms) if other.id == key.takes_over else other for other in live]
    return replace(record, keys=(*kept, key))


def key_to_replace(record: ClientRecord, key_id: str | None, now_ms: int) -> StoredKey | None:
    """The live key of that id; without an id the only one that has no live successor, None for no key.

    Raises UnknownKey for an id that is no live key's, and Conflict where several could be meant.
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
        raise ClientConflictError(f"{_name(record)} has several keys, {ids}; name the one to replace")
    return newest[0] if newest else None


def without_key(record: ClientRecord, key_id: str) -> ClientRecord:
    """Without a key. Raises UnknownKey when it has no such key."""
    left = tuple(key for key in record.keys if key.id != key_id)
    if len(left) == len(record.keys):
        raise UnknownKey(_unknown_key(record, key_id))
    return replace(record, keys=left)


def with_secret(record: ClientRecord, secret: StoredSecret, *, overlap_ms: int) -> ClientRecord:
    """With one more signing secret; the others sign on for the overlap. Raises Conflict while two do.

    Secrets that have ended go.
    """
    now_ms = secret.created_at_ms
    live = [other for other in record.secrets if is_live(other, now_ms)]
    if len(live) >= _LIVE_MAX:
        raise ClientConflictError(
            "two signing secrets are live already; wait until the older one has ended"
        )
    ending = [_ending(other, now_ms + overlap_ms) for other in live]
    return replace(record, secrets=(*ending, secret))


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in their usual order. Raises ValueError for none and for unknown ones."""
    given = set(scopes)
    if not given or not given <= set(SCOPES):
        raise ValueError(f"scopes are {', '.join(SCOPES)}; give one of them or more")
    return tuple(scope for scope in SCOPES if scope in given)


def has_scope(scopes: Iterable[str], wanted: str) -> bool:
    """Whether a key with these scopes may do what asks for `wanted`: `act` holds `signal`."""
    given = set(scopes)
    return wanted in given or (wanted == "signal" and "act" in given)


def _is_pair(key_id: str | None, other: StoredKey, live: list[StoredKey]) -> bool:
    """Whether the other key is this one, its live successor, or the live one whose place it takes."""
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
    """The same, ending at the moment or before."""
    end_ms = at_ms if kept.expires_at_ms is None else min(kept.expires_at_ms, at_ms)
    return replace(kept, expires_at_ms=end_ms)
