"""The administration of clients, the same on every runtime: create, rotate, revoke, limit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from atomic.application.client_cache import locked_out
from atomic.domain.clients import api_keys, records
from atomic.domain.clients.api_keys import Peppers
from atomic.domain.clients.client import OPERATOR_SCOPE, SCOPES_DEFAULT, check_scopes
from atomic.domain.clients.iam import check_roles
from atomic.domain.clients.quota import NO_QUOTA, Quota, check_quota
from atomic.domain.clients.records import (
    OPERATOR_ID,
    ClientConflictError,
    ClientRecord,
    StoredKey,
    StoredSecret,
    UnknownClient,
)
from atomic.domain.clients.rules import check_base_urls, check_client, check_origins, check_redaction
from atomic.domain.hooks import Hook, with_hook, without_hook
from atomic.domain.retentions import Retentions, WorkflowRetention
from atomic.domain.workflow_pauses import WorkflowPause, with_pause, without_pause
from atomic.protocol.signatures import encode_secret

# Long enough to hand the new key or secret to every caller and every endpoint.
OVERLAP_DEFAULT_MS: Final = 24 * 3600 * 1000


class ClientStore(Protocol):
    """The store of a runtime's clients. Methods may raise the errors of their store."""

    def load(self, client_id: str) -> ClientRecord | None:
        """A client as it is stored now, not from a cache."""
        ...

    def save(self, record: ClientRecord) -> bool:
        """Write the client if the stored version is the record's; return whether it was written.

        The write increases the version by one. Version 0 stands for a new client.
        """
        ...

    def ids(self) -> Sequence[str]:
        """The ids of all clients, sorted; the operator's record is not among them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAdmin:
    """Creates, changes and limits the clients of a store, and rotates and revokes their keys.

    Methods raise ValueError with a text that says what to do, and the errors of the store. The subclasses
    ClientConflictError, UnknownClient and UnknownKey are for requests that are well-formed. Methods for
    keys take `OPERATOR_ID` for the operator's own keys.
    """

    store: ClientStore
    pepper: bytes
    now_ms: Callable[[], int]
    token_bytes: Callable[[int], bytes]

    def known(self, client_id: str) -> ClientRecord:
        """A client as it is stored now. Raises UnknownClient when there is no such client."""
        record = self.store.load(client_id)
        if record is None and client_id == OPERATOR_ID:
            raise UnknownClient("the operator has no keys; `atomic operator create-key` makes one")
        if record is None:
            raise UnknownClient(
                f"there is no client {client_id!r}; `atomic clients list` lists all clients"
            )
        return record

    def create(
        self,
        client_id: str,
        *,
        base_urls: Sequence[str],
        quota: Quota = NO_QUOTA,
        scopes: Sequence[str] = SCOPES_DEFAULT,
        expires_at_ms: int | None = None,
        ed25519: bool = False,
        redact: Sequence[str] = (),
        callbacks: bool = True,
        origins: Sequence[str] = (),
        roles: Sequence[str] = (),
    ) -> tuple[str, str]:
        """Add a client; return its API key and its signing secret, which cannot be read again.

        Raises ValueError for a client that exists and for invalid arguments.
        """
        kept_urls = check_client(client_id, base_urls)
        check_quota(quota)
        api_key, stored = self._new_key(check_scopes(scopes), expires_at_ms)
        secret = encode_secret(self.token_bytes(32))
        record = ClientRecord(
            id=client_id,
            base_urls=kept_urls,
            keys=(stored,),
            secrets=(StoredSecret(text=secret, created_at_ms=stored.created_at_ms),),
            created_at_ms=stored.created_at_ms,
            quota=quota,
            ed25519=ed25519,
            redact=check_redaction(redact),
            callbacks=callbacks,
            origins=check_origins(origins),
            roles=check_roles(roles),
        )
        if not self.store.save(record):
            raise ClientConflictError(f"the client {client_id!r} exists already; choose another id")
        return api_key, secret

    def create_operator_key(self, *, expires_at_ms: int | None = None) -> tuple[str, StoredKey]:
        """Add a key of the operator; the key and its stored form. The first key creates the record."""
        api_key, stored = self._new_key((OPERATOR_SCOPE,), expires_at_ms)
        record = self.store.load(OPERATOR_ID) or ClientRecord(
            id=OPERATOR_ID, base_urls=(), keys=(), secrets=(), created_at_ms=stored.created_at_ms
        )
        self._save(records.with_key(record, stored))
        return api_key, stored

    def add_key(
        self, client_id: str, *, scopes: Sequence[str], expires_at_ms: int | None = None
    ) -> tuple[str, StoredKey]:
        """Add a key of a client; the key and its stored form."""
        record = self.known(client_id)
        api_key, stored = self._new_key(check_scopes(scopes), expires_at_ms)
        self._save(records.with_key(record, stored))
        return api_key, stored

    def rotate_key(
        self,
        client_id: str,
        *,
        key_id: str | None = None,
        scopes: Sequence[str] | None = None,
        expires_at_ms: int | None = None,
        overlap_ms: int = OVERLAP_DEFAULT_MS,
        may_widen: bool = True,
    ) -> tuple[str, StoredKey]:
        """Replace a key, which ends after the overlap; the new key and its stored form.

        Without `key_id`, the client's only live key is replaced. The new key has the old key's scopes by
        default. Unless `may_widen`, it can only have scopes of the old key, and expires with it at the
        latest.
        """
        record = self.known(client_id)
        old = records.key_to_replace(record, key_id, self.now_ms())
        last = old or (record.keys[-1] if record.keys else None)
        inherited = SCOPES_DEFAULT if last is None else last.scopes
        wanted = inherited if scopes is None else check_scopes(scopes)
        if not may_widen and not set(wanted) <= set(inherited):
            raise ValueError(
                f"the key has the scopes {', '.join(inherited)}, and a new one may have no other"
            )
        if not may_widen and last is not None:
            ends = [end for end in (expires_at_ms, last.expires_at_ms) if end is not None]
            expires_at_ms = min(ends, default=None)
        api_key, stored = self._new_key(wanted, expires_at_ms)
        stored = replace(stored, takes_over=old.id if old else None)
        self._save(records.with_key(record, stored, overlap_ms=overlap_ms))
        return api_key, stored

    def rotate_secret(self, client_id: str, *, overlap_ms: int = OVERLAP_DEFAULT_MS) -> StoredSecret:
        """A second signing secret; both sign until the older one ends after the overlap."""
        secret = encode_secret(self.token_bytes(32))
        stored = StoredSecret(text=secret, created_at_ms=self.now_ms())
        self._save(records.with_secret(self.known(client_id), stored, overlap_ms=overlap_ms))
        return stored

    def revoke_key(self, client_id: str, key_id: str) -> None:
        """Revoke a key; servers accept it for another 60 s at most."""
        self._save(records.without_key(self.known(client_id), key_id))

    def rehash(self, client_id: str, api_key: str) -> None:
        """Hash a valid key under this pepper, if it is hashed under another one. A revoked key stays so."""
        record, name = self.known(client_id), api_keys.name_of_pepper(self.pepper)
        digest = api_keys.digest(api_key, self.pepper).hex()
        renewed = tuple(
            replace(key, digest=digest, pepper=name) if key.id == api_keys.key_id_of(api_key) else key
            for key in record.keys
        )
        if renewed != record.keys:
            self._save(replace(record, keys=renewed))

    def under_other_peppers(self) -> list[str]:
        """The ids of clients, and the operator's, with a live key that is hashed under another pepper."""
        found = (self.store.load(client_id) for client_id in (*self.store.ids(), OPERATOR_ID))
        records = [record for record in found if record is not None]
        return locked_out(records, Peppers(self.pepper), self.now_ms())

    def change(
        self,
        client_id: str,
        *,
        base_urls: Sequence[str] | None = None,
        quota: Mapping[str, Any] | None = None,
        redact: Sequence[str] | None = None,
        ed25519: bool | None = None,
        callbacks: bool | None = None,
        origins: Sequence[str] | None = None,
        roles: Sequence[str] | None = None,
    ) -> ClientRecord:
        """Change the base URLs, the quota or other settings of a client; return the client.

        An argument of None changes nothing, and neither does a limit that `quota` does not contain.
        """
        record = self.known(client_id)
        record = replace(
            record,
            base_urls=record.base_urls if base_urls is None else check_base_urls(base_urls),
            quota=replace(record.quota, **(quota or {})),
            redact=record.redact if redact is None else check_redaction(redact),
            ed25519=record.ed25519 if ed25519 is None else ed25519,
            callbacks=record.callbacks if callbacks is None else callbacks,
            origins=record.origins if origins is None else check_origins(origins),
            roles=record.roles if roles is None else check_roles(roles),
        )
        check_quota(record.quota)
        self._save(record)
        return record

    def hooks(self, client_id: str) -> tuple[Hook, ...]:
        """The hooks of a client, by name."""
        return self.known(client_id).hooks

    def put_hook(self, client_id: str, hook: Hook) -> bool:
        """Add a hook, or replace that of its name; whether it is new. Raises TooManyHooks."""
        record = self.known(client_id)
        hooks = with_hook(record.hooks, hook)
        self._save(replace(record, hooks=hooks))
        return len(hooks) > len(record.hooks)

    def delete_hook(self, client_id: str, name: str) -> None:
        """Delete a hook. Raises UnknownHook."""
        record = self.known(client_id)
        self._save(replace(record, hooks=without_hook(record.hooks, name)))

    def workflow_pauses(self, client_id: str) -> tuple[WorkflowPause, ...]:
        """The pauses of a client's workflows, by name. Some may be over."""
        return self.known(client_id).workflow_pauses

    def pause_workflow(self, client_id: str, pause: WorkflowPause) -> None:
        """Pause a workflow, or change its pause. Raises TooManyWorkflowPauses."""
        record = self.known(client_id)
        self._save(replace(record, workflow_pauses=with_pause(record.workflow_pauses, pause)))

    def resume_workflow(self, client_id: str, name: str) -> None:
        """Let the runs of a workflow go on. One that is not paused is not changed."""
        record = self.known(client_id)
        pauses = without_pause(record.workflow_pauses, name)
        if pauses != record.workflow_pauses:
            self._save(replace(record, workflow_pauses=pauses))

    def retentions(self, client_id: str) -> Retentions:
        """The retentions of a client's workflows."""
        return self.known(client_id).retentions

    def set_retention(self, client_id: str, retention: WorkflowRetention) -> None:
        """Set the retention of a workflow. Raises TooManyRetentions."""
        record = self.known(client_id)
        self._save_retentions(record, record.retentions.including(retention))

    def clear_retention(self, client_id: str, name: str) -> None:
        """Let a workflow have the retention of the server again. One that has it is not changed."""
        record = self.known(client_id)
        self._save_retentions(record, record.retentions.without(name))

    def _save_retentions(self, record: ClientRecord, retentions: Retentions) -> None:
        if retentions != record.retentions:
            self._save(replace(record, retentions=retentions))

    def _new_key(self, scopes: tuple[str, ...], expires_at_ms: int | None) -> tuple[str, StoredKey]:
        now_ms = self.now_ms()
        if expires_at_ms is not None and expires_at_ms <= now_ms:
            raise ValueError("the key would have expired already; choose a time in the future")
        api_key = api_keys.issue(self.token_bytes)
        key_id = api_keys.key_id_of(api_key)
        assert key_id is not None
        stored = StoredKey(
            id=key_id,
            digest=api_keys.digest(api_key, self.pepper).hex(),
            scopes=scopes,
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            pepper=api_keys.name_of_pepper(self.pepper),
        )
        return api_key, stored

    def _save(self, record: ClientRecord) -> None:
        if not self.store.save(record):
            raise ClientConflictError(
                f"another request changed the client {record.id!r} just now; try again"
            )
