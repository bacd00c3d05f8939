"""A client as its home keeps it: one record of keys (hashed), signing secrets, base URLs and limits."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

# What a key may do: post steps; read; cancel, redrive and post results; manage the client's own keys.
SCOPES: Final = ("start", "read", "act", "admin")
SCOPES_DEFAULT: Final = ("start", "read", "act")
_LIVE_MAX: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """An API key; `digest` is in hex. It opens its client until `expires_at_ms`, None is for good."""

    id: str
    digest: str
    scopes: tuple[str, ...]
    created_at_ms: int
    expires_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSecret:
    """A signing secret in its printable form; it signs until `expires_at_ms`, None is for good."""

    text: str
    created_at_ms: int
    expires_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may use; None is no limit."""

    starts_per_s: float | None = None
    live_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client. `version` fences writes; a new one has 0."""

    id: str
    base_urls: tuple[str, ...]
    keys: tuple[StoredKey, ...]
    secrets: tuple[StoredSecret, ...]
    created_at_ms: int
    limits: Limits = field(default_factory=Limits)
    ed25519: bool = False
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
        limits = Limits(**members.pop("limits"))
        base_urls = tuple(members.pop("base_urls"))
        return cls(
            id=client_id,
            version=version,
            keys=keys,
            secrets=secrets,
            limits=limits,
            base_urls=base_urls,
            **members,
        )


def is_live(kept: StoredKey | StoredSecret, now_ms: int) -> bool:
    """Whether it is still good."""
    return kept.expires_at_ms is None or kept.expires_at_ms > now_ms


def with_key(record: ClientRecord, key: StoredKey, *, overlap_ms: int) -> ClientRecord:
    """With one more key; the others end after the overlap. Raises ValueError while two are live."""
    now_ms = key.created_at_ms
    live = [other for other in record.keys if is_live(other, now_ms)]
    if len(live) >= _LIVE_MAX:
        ids = " and ".join(other.id for other in live)
        raise ValueError(f"two keys are live already, {ids}; revoke the one that nobody uses any more")
    ending = [
        replace(other, expires_at_ms=_sooner(other.expires_at_ms, now_ms + overlap_ms)) for other in live
    ]
    return replace(record, keys=(*ending, key))


def without_key(record: ClientRecord, key_id: str) -> ClientRecord:
    """Without a key. Raises ValueError when it has no such key."""
    left = tuple(key for key in record.keys if key.id != key_id)
    if len(left) == len(record.keys):
        known = ", ".join(key.id for key in record.keys) or "none"
        raise ValueError(f"{record.id!r} has no key {key_id!r}; it has {known}")
    return replace(record, keys=left)


def with_secret(record: ClientRecord, secret: StoredSecret, *, overlap_ms: int) -> ClientRecord:
    """With one more signing secret; the others sign on for the overlap. Raises ValueError while two do."""
    now_ms = secret.created_at_ms
    live = [other for other in record.secrets if is_live(other, now_ms)]
    if len(live) >= _LIVE_MAX:
        raise ValueError("two signing secrets are live already; wait until the older one has ended")
    ending = [
        replace(other, expires_at_ms=_sooner(other.expires_at_ms, now_ms + overlap_ms)) for other in live
    ]
    return replace(record, secrets=(*ending, secret))


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in their usual order. Raises ValueError for none and for unknown ones."""
    given = set(scopes)
    if not given or not given <= set(SCOPES):
        raise ValueError(f"scopes are {', '.join(SCOPES)}; give one of them or more")
    return tuple(scope for scope in SCOPES if scope in given)


def _sooner(first_ms: int | None, second_ms: int) -> int:
    return second_ms if first_ms is None else min(first_ms, second_ms)
