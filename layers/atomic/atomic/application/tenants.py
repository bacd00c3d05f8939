"""What operators do to clients, the same on every home that keeps them: create, rotate, revoke, limit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from atomic.application.ports import Client
from atomic.protocol import api_keys, tenants
from atomic.protocol.clients import check_client, check_limits
from atomic.protocol.signatures import decode_secret, encode_secret
from atomic.protocol.tenants import Limits, StoredKey, StoredSecret, Tenant

# Long enough for every receiver and every caller to learn of the new one.
OVERLAP_DEFAULT_MS: Final = 24 * 3600 * 1000


class TenantStore(Protocol):
    """Where a home keeps its clients. Methods may raise what their store raises."""

    def load(self, tenant_id: str) -> Tenant | None:
        """A client as it stands now, past every cache."""
        ...

    def save(self, tenant: Tenant) -> bool:
        """Write the client if the store has its version, which is then one more; version 0 is a new one.

        Whether it was written.
        """
        ...

    def ids(self) -> Sequence[str]:
        """The ids of all clients, in their order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A store, and what making keys needs."""

    store: TenantStore
    pepper: bytes
    now_ms: Callable[[], int]
    token_bytes: Callable[[int], bytes]


def create(
    office: Office,
    client_id: str,
    *,
    base_urls: Sequence[str],
    limits: Limits | None = None,
    scopes: Sequence[str] = tenants.SCOPES_DEFAULT,
    expires_at_ms: int | None = None,
    ed25519: bool = False,
) -> tuple[str, str]:
    """Add a client: its API key and its signing secret, which are shown this once.

    Raises ValueError for a client that exists and for what cannot be used.
    """
    limits = limits or Limits()
    kept_urls = check_client(client_id, base_urls)
    check_limits(limits)
    api_key, stored = _new_key(office, scopes, expires_at_ms)
    secret = encode_secret(office.token_bytes(32))
    tenant = Tenant(
        id=client_id,
        base_urls=kept_urls,
        keys=(stored,),
        secrets=(StoredSecret(text=secret, created_at_ms=stored.created_at_ms),),
        created_at_ms=stored.created_at_ms,
        limits=limits,
        ed25519=ed25519,
    )
    if not office.store.save(tenant):
        raise ValueError(f"the client {client_id!r} exists already; choose another id")
    return api_key, secret


def rotate_key(
    office: Office,
    client_id: str,
    *,
    scopes: Sequence[str] | None = None,
    expires_at_ms: int | None = None,
    overlap_ms: int = OVERLAP_DEFAULT_MS,
) -> str:
    """A second key beside the one there is, which ends after the overlap; with its scopes unless told."""
    tenant = _known(office, client_id)
    inherited = tenant.keys[-1].scopes if tenant.keys else tenants.SCOPES_DEFAULT
    api_key, stored = _new_key(office, scopes or inherited, expires_at_ms)
    _save(office, tenants.with_key(tenant, stored, overlap_ms=overlap_ms))
    return api_key


def rotate_secret(office: Office, client_id: str, *, overlap_ms: int = OVERLAP_DEFAULT_MS) -> str:
    """A second signing secret; both sign until the older one ends after the overlap."""
    secret = encode_secret(office.token_bytes(32))
    stored = StoredSecret(text=secret, created_at_ms=office.now_ms())
    _save(office, tenants.with_secret(_known(office, client_id), stored, overlap_ms=overlap_ms))
    return secret


def revoke_key(office: Office, client_id: str, key_id: str) -> None:
    """Take a key away; servers believe in it for 60 s at most."""
    _save(office, tenants.without_key(_known(office, client_id), key_id))


def change_limits(office: Office, client_id: str, limits: Limits) -> None:
    """Set what a client may use."""
    check_limits(limits)
    _save(office, replace(_known(office, client_id), limits=limits))


def client_of(tenant: Tenant, now_ms: int) -> Client:
    """The client as the engine knows it, with every scope."""
    return Client(
        id=tenant.id,
        base_urls=tenant.base_urls,
        signing_secrets=tuple(
            decode_secret(secret.text) for secret in tenant.secrets if tenants.is_live(secret, now_ms)
        ),
        starts_per_s=tenant.limits.starts_per_s,
        live_steps=tenant.limits.live_steps,
        ed25519=tenant.ed25519,
    )


@dataclass(frozen=True, slots=True)
class Door:
    """A key and what it opens."""

    key: StoredKey
    client: Client

    def opens(self, api_key: str, *, pepper: bytes, now_ms: int) -> bool:
        """Whether it is this key, and still good."""
        is_same = api_keys.opens(api_key, bytes.fromhex(self.key.digest), pepper)
        return is_same and tenants.is_live(self.key, now_ms)


def doors(tenant: Tenant, client: Client) -> dict[str, Door]:
    """The client's keys by their ids, each with the scopes it has."""
    return {key.id: Door(key, replace(client, scopes=frozenset(key.scopes))) for key in tenant.keys}


def _new_key(office: Office, scopes: Sequence[str], expires_at_ms: int | None) -> tuple[str, StoredKey]:
    now_ms = office.now_ms()
    if expires_at_ms is not None and expires_at_ms <= now_ms:
        raise ValueError("the key would have expired already; choose a moment to come")
    api_key = api_keys.issue(office.token_bytes)
    key_id = api_keys.key_id_of(api_key)
    assert key_id is not None
    stored = StoredKey(
        id=key_id,
        digest=api_keys.digest(api_key, office.pepper).hex(),
        scopes=tenants.check_scopes(scopes),
        created_at_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )
    return api_key, stored


def _known(office: Office, client_id: str) -> Tenant:
    tenant = office.store.load(client_id)
    if tenant is None:
        raise ValueError(f"there is no client {client_id!r}; `atomic clients list` names those there are")
    return tenant


def _save(office: Office, tenant: Tenant) -> None:
    if not office.store.save(tenant):
        raise ValueError(f"the client {tenant.id!r} was changed by somebody else just now; try again")
