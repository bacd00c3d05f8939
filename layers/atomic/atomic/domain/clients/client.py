"""A client as the engine sees it, and what its key may do."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Final

from atomic.domain.clients.quota import NO_QUOTA, Quota
from atomic.domain.hooks import Hook, with_hook, without_hook
from atomic.domain.retentions import NO_RETENTIONS, Retentions, WorkflowRetention
from atomic.domain.workflow_pauses import WorkflowPause, with_pause, without_pause
from atomic.protocol.enums import SCOPES, Scope
from atomic.protocol.start_tokens import StartToken
from atomic.protocol.urls import is_under

SCOPES_DEFAULT: Final[tuple[Scope, ...]] = ("start", "read", "act")
# What keys of the operator may do: make clients, say what they may use, and manage their keys.
OPERATOR_SCOPE: Final = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A tenant of the runtime, and what the key that opened it may do.

    An empty `base_urls` allows every URL (only `--dev` gives such clients). `redact` names members of JSON
    that its readers are shown as a hash under `redaction_key`. Attempts get tokens under the first of
    `attempt_keys`, and none when there are none; tokens under each of them are valid. `callbacks`: its
    events have callback URLs. `origins`: pages of these may call the API for it. `key_id` is the key that
    opened it, `key_ids` are its valid keys, or None where no keys are stored. `token` is the start token
    that opened it in place of a key. `roles` are ARNs of IAM whose callers need no key; `key_id` is then
    the role. `hooks`: where it is told of its runs. `workflow_pauses`: the workflows that are paused; some
    may be over. `retentions`: of workflows whose runs are kept for less than the server's retention.
    `has_old_hash`: its key is not hashed under the current pepper.
    """

    id: str
    base_urls: tuple[str, ...] = ()
    signing_secrets: tuple[bytes, ...] = ()
    quota: Quota = NO_QUOTA
    ed25519: bool = False
    redact: tuple[str, ...] = ()
    redaction_key: bytes = b""
    attempt_keys: tuple[bytes, ...] = ()
    callbacks: bool = True
    origins: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    hooks: tuple[Hook, ...] = ()
    workflow_pauses: tuple[WorkflowPause, ...] = ()
    retentions: Retentions = NO_RETENTIONS
    has_old_hash: bool = False
    scopes: frozenset[str] = frozenset(SCOPES)
    key_id: str = ""
    key_ids: frozenset[str] | None = None
    token: StartToken | None = None

    def may_call(self, url: str) -> bool:
        """Whether the URL is under a base URL of the client."""
        return not self.base_urls or is_under(url, self.base_urls)

    def has_key(self, key_id: str) -> bool:
        """Whether this is one of its valid keys or roles. Where no keys are stored, every one is."""
        return self.key_ids is None or key_id in self.key_ids or key_id in self.roles


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in their usual order. Raises ValueError for none and for unknown ones."""
    given = set(scopes)
    if not given or not given <= set(SCOPES):
        raise ValueError(f"scopes are {', '.join(SCOPES)}; give one of them or more")
    return tuple(scope for scope in SCOPES if scope in given)


def has_scope(scopes: Collection[str], wanted: str) -> bool:
    """Whether a key with these scopes may do what asks for `wanted`: `act` holds `signal`."""
    return wanted in scopes or (wanted == "signal" and "act" in scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSettings:
    """What a client of a server without API keys has set itself."""

    hooks: tuple[Hook, ...] = ()
    workflow_pauses: tuple[WorkflowPause, ...] = ()
    retentions: Retentions = NO_RETENTIONS


_NOTHING_SET: Final = OwnSettings()


class OpenRegistry:
    """The clients of a server without API keys: each id is a client that may call every URL.

    All of them have the same signing secrets and the same attempt key. Without a `callback_key`, no event
    has a callback URL. `origins` are those of every client. It has what they have set themselves, from
    `own` on, and passes it to `keep` whenever it has changed.
    """

    def __init__(
        self,
        *,
        attempt_key: bytes,
        callback_key: bytes = b"",
        signing_secrets: tuple[bytes, ...] = (),
        origins: tuple[str, ...] = (),
        own: Mapping[str, OwnSettings] = MappingProxyType({}),
        keep: Callable[[Mapping[str, OwnSettings]], None] = lambda _own: None,
    ) -> None:
        self.callback_keys = (callback_key,) if callback_key else ()
        attempt_keys = (attempt_key,) if attempt_key else ()
        self._made = partial(
            Client, attempt_keys=attempt_keys, signing_secrets=signing_secrets, origins=origins
        )
        # Each step asks for its client three times. A change of what a client has set empties this.
        self._client = lru_cache(maxsize=1024)(self._make)
        self._own, self._keep = dict(own), keep

    async def authenticate(self, api_key: str | None, client_id: str) -> Client | None:
        """The client that the path names, with or without a key."""
        del api_key
        return await self.get(client_id)

    async def get(self, client_id: str) -> Client | None:
        """The client."""
        return self._client(client_id)

    def _make(self, client_id: str) -> Client:
        own = self._of(client_id)
        return self._made(
            id=client_id,
            hooks=own.hooks,
            workflow_pauses=own.workflow_pauses,
            retentions=own.retentions,
        )

    def hooks(self, client_id: str) -> tuple[Hook, ...]:
        """The hooks of a client, by name."""
        return self._of(client_id).hooks

    def put_hook(self, client_id: str, hook: Hook) -> bool:
        """Add a hook, or replace that of its name; whether it is new. Raises TooManyHooks."""
        own = self._of(client_id)
        hooks = with_hook(own.hooks, hook)
        self._change(client_id, replace(own, hooks=hooks))
        return len(hooks) > len(own.hooks)

    def delete_hook(self, client_id: str, name: str) -> None:
        """Delete a hook. Raises UnknownHook."""
        own = self._of(client_id)
        self._change(client_id, replace(own, hooks=without_hook(own.hooks, name)))

    def workflow_pauses(self, client_id: str) -> tuple[WorkflowPause, ...]:
        """The pauses of a client's workflows, by name. Some may be over."""
        return self._of(client_id).workflow_pauses

    def pause_workflow(self, client_id: str, pause: WorkflowPause) -> None:
        """Pause a workflow, or change its pause. Raises TooManyWorkflowPauses."""
        own = self._of(client_id)
        self._change(client_id, replace(own, workflow_pauses=with_pause(own.workflow_pauses, pause)))

    def resume_workflow(self, client_id: str, name: str) -> None:
        """Let the runs of a workflow go on. One that is not paused is not changed."""
        own = self._of(client_id)
        pauses = without_pause(own.workflow_pauses, name)
        self._change(client_id, replace(own, workflow_pauses=pauses))

    def retentions(self, client_id: str) -> Retentions:
        """The retentions of a client's workflows."""
        return self._of(client_id).retentions

    def set_retention(self, client_id: str, retention: WorkflowRetention) -> None:
        """Set the retention of a workflow. Raises TooManyRetentions."""
        own = self._of(client_id)
        self._change(client_id, replace(own, retentions=own.retentions.including(retention)))

    def clear_retention(self, client_id: str, name: str) -> None:
        """Let a workflow have the retention of the server again."""
        own = self._of(client_id)
        self._change(client_id, replace(own, retentions=own.retentions.without(name)))

    def forget_settings(self) -> None:
        """Forget what all clients have set."""
        if self._own:
            self._keep({})
            self._own.clear()
            self._client.cache_clear()

    def _of(self, client_id: str) -> OwnSettings:
        return self._own.get(client_id, _NOTHING_SET)

    def _change(self, client_id: str, own: OwnSettings) -> None:
        if own != self._of(client_id):
            self._keep({**self._own, client_id: own})
            self._own[client_id] = own
            self._client.cache_clear()
