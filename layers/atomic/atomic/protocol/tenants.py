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
class Tenant:
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
        record = asdict(self)
        del record["id"], record["version"]
        return json.dumps(record)

    @classmethod
    def from_json(cls, tenant_id: str, version: int, text: str) -> "Tenant":
        """The tenant of a record."""
        record: dict[str, Any] = json.loads(text)
        keys = tuple(StoredKey(**{**key, "scopes": tuple(key["scopes"])}) for key in record.pop("keys"))
        secrets = tuple(StoredSecret(**secret) for secret in record.pop("secrets"))
        limits = Limits(**record.pop("limits"))
        base_urls = tuple(record.pop("base_urls"))
        return cls(
            id=tenant_id,
            version=version,
            keys=keys,
            secrets=secrets,
            limits=limits,
            base_urls=base_urls,
            **record,
        )


def is_live(kept: StoredKey | StoredSecret, now_ms: int) -> bool:
    """Whether it is still good."""
    return kept.expires_at_ms is None or kept.expires_at_ms > now_ms


def with_key(tenant: Tenant, key: StoredKey, *, overlap_ms: int) -> Tenant:
    """With one more key; the others end after the overlap. Raises ValueError while two are live."""
    now_ms = key.created_at_ms
    live = [other for other in tenant.keys if is_live(other, now_ms)]
    if len(live) >= _LIVE_MAX:
        ids = " and ".join(other.id for other in live)
        raise ValueError(f"two keys are live already, {ids}; revoke the one that nobody uses any more")
    ending = [
        replace(other, expires_at_ms=_sooner(other.expires_at_ms, now_ms + overlap_ms)) for other in live
    ]
    return replace(tenant, keys=(*ending, key))


def without_key(tenant: Tenant, key_id: str) -> Tenant:
    """Without a key. Raises ValueError when it has no such key."""
    left = tuple(key for key in tenant.keys if key.id != key_id)
    if len(left) == len(tenant.keys):
        known = ", ".join(key.id for key in tenant.keys) or "none"
        raise ValueError(f"{tenant.id!r} has no key {key_id!r}; it has {known}")
    return replace(tenant, keys=left)


def with_secret(tenant: Tenant, secret: StoredSecret, *, overlap_ms: int) -> Tenant:
    """With one more signing secret; the others sign on for the overlap. Raises ValueError while two do."""
    now_ms = secret.created_at_ms
    live = [other for other in tenant.secrets if is_live(other, now_ms)]
    if len(live) >= _LIVE_MAX:
        raise ValueError("two signing secrets are live already; wait until the older one has ended")
    ending = [
        replace(other, expires_at_ms=_sooner(other.expires_at_ms, now_ms + overlap_ms)) for other in live
    ]
    return replace(tenant, secrets=(*ending, secret))


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in their usual order. Raises ValueError for none and for unknown ones."""
    given = set(scopes)
    if not given or not given <= set(SCOPES):
        raise ValueError(f"scopes are {', '.join(SCOPES)}; give one of them or more")
    return tuple(scope for scope in SCOPES if scope in given)


def _sooner(first_ms: int | None, second_ms: int) -> int:
    return second_ms if first_ms is None else min(first_ms, second_ms)
