"""What a `ClientRegistry` must do. Inherit `RegistryContract` and define `runtime`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes
from typing import Any, Protocol

import pytest

from atomic.application.client_admin import ClientAdmin
from atomic.application.ports import ClientRegistry
from atomic.domain.clients.api_keys import issue, key_id_of
from atomic.domain.clients.client import OPERATOR_SCOPE, Client
from atomic.domain.clients.quota import Quota
from atomic.domain.clients.records import (
    KEYS_MAX,
    OPERATOR_ID,
    ClientConflictError,
    UnknownClient,
    UnknownKey,
)
from atomic.domain.retentions import WorkflowRetention
from atomic.protocol.enums import SCOPES
from atomic.protocol.signatures import decode_secret, encode_secret

# One that counts as well on the runtimes of this contract, as in a rotation.
OTHER_PEPPER = b"the pepper of before the rotation"
URL = "https://app.example/"
BAD_IDS = ["", "a b", "-a", "_a", "dashboard", "clients", "a/b", "x" * 65, "é"]
BAD_RATES = [0.0, -1.0, float("nan"), float("inf")]
BAD_SCOPES: list[list[str]] = [[], ["root"], ["read", ""]]
BAD_URLS = [
    "",
    "app.example",
    "/x",
    "ftp://app.example/",
    "https://",
    "https://app.example:0/",
    "https://app.example:99999/",
    "https://user@app.example/",
    "https://app.example/?q",
    "https://app.example/#f",
    "https://app.example/a b",
    "https://app.example\\x",
    "https://äpp .example/",
    "https://app.example/ä",
    "https://[::1/",
]


class RegistryRuntime(Protocol):
    """A registry, and the store of its clients."""

    registry: ClientRegistry
    admin: ClientAdmin

    def let_time_pass(self, ms: int = 60_000) -> None:
        """Advance the clock far enough for the registry to read its clients again."""
        ...

    def stored(self) -> bytes:
        """Everything that is stored for the clients."""
        ...


def key_id(api_key: str) -> str:
    """The id of a key."""
    found = key_id_of(api_key)
    assert found is not None
    return found


def on_runtime(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run the test on an empty runtime."""

    def run(self: "RegistryContract", tmp_path: Path) -> None:
        async def body() -> None:
            async with self.runtime(tmp_path) as runtime:
                await asyncio.wait_for(test(self, runtime), 60)

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class RegistryContract:
    """Inherit and define `runtime`."""

    def runtime(self, directory: Path) -> AbstractAsyncContextManager[RegistryRuntime]:
        """A runtime without clients; it may use the directory."""
        raise NotImplementedError

    @on_runtime
    async def test_a_key_authenticates_its_client(self, runtime: RegistryRuntime) -> None:
        urls = (URL, "http://10.0.0.1:8080/x")
        api_key, secret = runtime.admin.create(
            "acme", base_urls=urls, quota=Quota(starts_per_second=2.5, live_steps=7, stored_bytes=9)
        )
        other_key, _ = runtime.admin.create("other", base_urls=[URL])
        acme = await runtime.registry.authenticate(api_key, "acme")
        assert acme is not None
        # Tokens of attempts are made under a key that nobody else has.
        assert [len(key) for key in acme.attempt_keys] == [32, 32]
        assert acme == Client(
            id="acme",
            base_urls=urls,
            signing_secrets=(decode_secret(secret),),
            quota=Quota(starts_per_second=2.5, live_steps=7, stored_bytes=9),
            scopes=frozenset({"start", "read", "act"}),
            attempt_keys=acme.attempt_keys,
            key_id=str(key_id_of(api_key)),
            key_ids=frozenset({str(key_id_of(api_key))}),
        )
        assert await runtime.registry.get("acme") == replace(acme, scopes=frozenset(SCOPES), key_id="")
        # The registry ignores which client the path names: the key alone identifies its client.
        other = await runtime.registry.authenticate(other_key, "acme")
        assert other is not None
        assert (other.id, other.quota.starts_per_second) == ("other", None)
        assert other.attempt_keys != acme.attempt_keys

    @on_runtime
    async def test_a_host_is_stored_as_a_labels(self, runtime: RegistryRuntime) -> None:
        runtime.admin.create("acme", base_urls=["https://Bücher.example:8443/steps"])
        acme = await runtime.registry.get("acme")
        assert acme is not None
        assert acme.base_urls == ("https://xn--bcher-kva.example:8443/steps",)

    @on_runtime
    async def test_any_other_key_is_rejected(self, runtime: RegistryRuntime) -> None:
        api_key, _ = runtime.admin.create("acme", base_urls=[URL])
        other = issue(token_bytes)
        wrong = [None, "", "x", "atm_", api_key[:-1], api_key + "0", api_key.upper(), other]
        wrong += [api_key[:-1] + "\udce9", api_key.replace("atm_", ""), api_key.swapcase(), api_key + " "]
        wrong += [f"{other[:17]}{api_key[17:]}", f"{api_key[:17]}{other[17:]}"]
        for position in range(len(api_key)):
            wrong.append(api_key[:position] + chr(ord(api_key[position]) ^ 1) + api_key[position + 1 :])
        for key in wrong:
            assert await runtime.registry.authenticate(key, "acme") is None, key
        for client_id in ("nobody", "", "a/b", "x" * 65):
            assert await runtime.registry.get(client_id) is None

    @on_runtime
    async def test_the_key_itself_is_not_stored(self, runtime: RegistryRuntime) -> None:
        api_key, _ = runtime.admin.create("acme", base_urls=[URL])
        secret_part = api_key.rpartition("_")[2]
        assert len(secret_part) == 49
        assert b"acme" in runtime.stored()
        assert secret_part[:-6].encode() not in runtime.stored()

    @on_runtime
    async def test_a_key_under_the_other_pepper_is_valid_and_is_hashed_again(
        self, runtime: RegistryRuntime
    ) -> None:
        before = replace(runtime.admin, pepper=OTHER_PEPPER)
        api_key, _ = before.create("acme", base_urls=[URL])
        acme = await runtime.registry.authenticate(api_key, "acme")
        assert acme is not None
        assert acme.has_old_hash
        assert runtime.admin.under_other_peppers() == ["acme"]
        wrong = issue(token_bytes)[:17] + api_key[17:]
        assert await runtime.registry.authenticate(wrong, "acme") is None
        for _ in range(2):
            runtime.admin.rehash("acme", api_key)
            assert runtime.admin.known("acme").version == 2
        assert runtime.admin.under_other_peppers() == []
        runtime.let_time_pass()
        assert await runtime.registry.authenticate(api_key, "acme") == replace(acme, has_old_hash=False)

        runtime.admin.revoke_key("acme", key_id(api_key))
        runtime.admin.rehash("acme", api_key)
        runtime.let_time_pass()
        assert await runtime.registry.authenticate(api_key, "acme") is None

    @on_runtime
    async def test_without_the_pepper_no_key_can_be_planted(self, runtime: RegistryRuntime) -> None:
        forged, _ = replace(runtime.admin, pepper=b"guessed").create("acme", base_urls=[URL])
        assert await runtime.registry.get("acme") is not None
        assert await runtime.registry.authenticate(forged, "acme") is None

    @on_runtime
    async def test_a_change_by_another_process_is_seen_soon(self, runtime: RegistryRuntime) -> None:
        assert await runtime.registry.get("acme") is None
        api_key, _ = runtime.admin.create("acme", base_urls=[URL])
        assert await runtime.registry.get("acme") is None  # the store is not read at every call
        runtime.let_time_pass()
        assert await runtime.registry.authenticate(api_key, "acme") is not None
        runtime.admin.revoke_key("acme", key_id(api_key))
        assert await runtime.registry.authenticate(api_key, "acme") is not None
        runtime.let_time_pass()
        assert await runtime.registry.authenticate(api_key, "acme") is None

    @on_runtime
    async def test_two_keys_are_live_during_a_rotation(self, runtime: RegistryRuntime) -> None:
        old, _ = runtime.admin.create("acme", base_urls=[URL], scopes=["read"])
        new, _ = runtime.admin.rotate_key("acme", overlap_ms=10 * 60_000)
        with pytest.raises(ValueError, match="two keys are live"):
            runtime.admin.rotate_key("acme")
        for key in (old, new):
            opened = await runtime.registry.authenticate(key, "acme")
            assert opened is not None
            assert opened.scopes == {"read"}
        runtime.let_time_pass(9 * 60_000)
        assert await runtime.registry.authenticate(old, "acme") is not None
        runtime.let_time_pass(60_000)
        assert await runtime.registry.authenticate(old, "acme") is None
        assert await runtime.registry.authenticate(new, "acme") is not None
        third, _ = runtime.admin.rotate_key("acme", scopes=["admin", "read"])
        runtime.let_time_pass()
        opened = await runtime.registry.authenticate(third, "acme")
        assert opened is not None
        assert opened.scopes == {"admin", "read"}

    @on_runtime
    async def test_a_new_key_is_accepted_soon_whatever_is_cached(self, runtime: RegistryRuntime) -> None:
        old, _ = runtime.admin.create("acme", base_urls=[URL])
        assert await runtime.registry.authenticate(old, "acme") is not None
        new, stored = runtime.admin.add_key("acme", scopes=["admin"])
        assert (stored.id, stored.scopes, stored.takes_over) == (key_id(new), ("admin",), None)
        runtime.let_time_pass(5_000)
        opened = await runtime.registry.authenticate(new, "acme")
        assert opened is not None
        assert opened.scopes == {"admin"}
        assert await runtime.registry.authenticate(old, "acme") is not None

    @on_runtime
    async def test_each_key_is_rotated_for_itself(self, runtime: RegistryRuntime) -> None:
        first, _ = runtime.admin.create("acme", base_urls=[URL])
        beside, _ = runtime.admin.add_key("acme", scopes=["admin"])
        with pytest.raises(ClientConflictError, match="several keys"):
            runtime.admin.rotate_key("acme")
        second, stored = runtime.admin.rotate_key("acme", key_id=key_id(first), overlap_ms=60_000)
        assert (stored.scopes, stored.takes_over) == (("start", "read", "act"), key_id(first))
        for one in (first, second):
            with pytest.raises(ClientConflictError, match="two keys are live"):
                runtime.admin.rotate_key("acme", key_id=key_id(one))
        runtime.let_time_pass()
        assert await runtime.registry.authenticate(first, "acme") is None
        assert await runtime.registry.authenticate(beside, "acme") is not None
        with pytest.raises(UnknownKey):
            runtime.admin.rotate_key("acme", key_id=key_id(first))
        third, _ = runtime.admin.rotate_key("acme", key_id=key_id(second))
        kept = runtime.admin.known("acme").keys
        # Expired keys are deleted.
        assert [key.id for key in kept] == [key_id(beside), key_id(second), key_id(third)]

    @on_runtime
    async def test_the_number_of_live_keys_is_bounded(self, runtime: RegistryRuntime) -> None:
        runtime.admin.create("acme", base_urls=[URL])
        for _ in range(KEYS_MAX - 1):
            runtime.admin.add_key("acme", scopes=["read"])
        with pytest.raises(ClientConflictError, match=f"{KEYS_MAX} live keys"):
            runtime.admin.add_key("acme", scopes=["read"])

    @on_runtime
    async def test_a_rotation_widens_no_scope_unless_it_may(self, runtime: RegistryRuntime) -> None:
        key, _ = runtime.admin.create("acme", base_urls=[URL], scopes=["read", "act"])
        with pytest.raises(ValueError, match="has the scopes read, act"):
            runtime.admin.rotate_key("acme", scopes=["start"], may_widen=False)
        _, narrow = runtime.admin.rotate_key("acme", scopes=["read"], may_widen=False)
        assert (narrow.scopes, narrow.takes_over) == (("read",), key_id(key))

    @on_runtime
    async def test_a_key_expires_on_time_whatever_is_cached(self, runtime: RegistryRuntime) -> None:
        end_ms = runtime.admin.now_ms() + 1000
        key, _ = runtime.admin.create("acme", base_urls=[URL], expires_at_ms=end_ms)
        assert await runtime.registry.authenticate(key, "acme") is not None
        runtime.let_time_pass(1000)
        assert await runtime.registry.authenticate(key, "acme") is None
        with pytest.raises(ValueError, match="expired already"):
            runtime.admin.rotate_key("acme", expires_at_ms=end_ms)

    @on_runtime
    async def test_two_secrets_sign_during_a_rotation(self, runtime: RegistryRuntime) -> None:
        _, old = runtime.admin.create("acme", base_urls=[URL])
        new = runtime.admin.rotate_secret("acme", overlap_ms=10 * 60_000).text
        with pytest.raises(ValueError, match="two signing secrets"):
            runtime.admin.rotate_secret("acme")

        async def live() -> list[str]:
            client = await runtime.registry.get("acme")
            assert client is not None
            return [encode_secret(secret) for secret in client.signing_secrets]

        assert await live() == [old, new]
        runtime.let_time_pass(11 * 60_000)
        assert await live() == [new]

    @on_runtime
    async def test_redaction_uses_a_key_of_the_client_and_the_pepper(
        self, runtime: RegistryRuntime
    ) -> None:
        for name in ("acme", "other"):
            runtime.admin.create(name, base_urls=[URL], redact=["email", "card.number"])
        replace(runtime.admin, pepper=b"guessed").create("planted", base_urls=[URL], redact=["email"])
        found = [await runtime.registry.get(name) for name in ("acme", "other", "planted")]
        keys = {client.redaction_key for client in found if client is not None}
        assert (len(keys), {len(key) for key in keys}) == (3, {32})
        assert found[0] is not None
        assert found[0].redact == ("email", "card.number")
        runtime.admin.change("acme", redact=[])
        runtime.let_time_pass()
        acme = await runtime.registry.get("acme")
        assert acme is not None
        assert (acme.redact, acme.redaction_key) == ((), b"")

    @on_runtime
    async def test_a_change_keeps_the_settings_that_it_does_not_name(
        self, runtime: RegistryRuntime
    ) -> None:
        runtime.admin.create("acme", base_urls=[URL], quota=Quota(live_steps=7, stored_bytes=9))
        assert await runtime.registry.get("acme") is not None
        runtime.admin.change("acme", quota={"starts_per_second": 4.0, "stored_bytes": None})
        changed = runtime.admin.change("acme", base_urls=["https://Bücher.example/"], ed25519=True)
        runtime.let_time_pass()
        acme = await runtime.registry.get("acme")
        assert acme is not None
        assert (acme.quota.starts_per_second, acme.quota.live_steps, acme.quota.stored_bytes) == (
            4.0,
            7,
            None,
        )
        assert acme.base_urls == changed.base_urls == ("https://xn--bcher-kva.example/",)
        assert (acme.ed25519, changed.quota) == (True, Quota(starts_per_second=4.0, live_steps=7))
        with pytest.raises(ValueError, match="live steps"):
            runtime.admin.change("acme", quota={"live_steps": 0})
        with pytest.raises(ValueError, match="base URL"):
            runtime.admin.change("acme", base_urls=["ftp://app.example/"])
        with pytest.raises(UnknownClient, match="no client 'nobody'"):
            runtime.admin.change("nobody", redact=["email"])

    @on_runtime
    async def test_the_operators_keys_belong_to_no_client(self, runtime: RegistryRuntime) -> None:
        with pytest.raises(UnknownClient, match="the operator has no keys"):
            runtime.admin.rotate_key(OPERATOR_ID)
        first, stored = runtime.admin.create_operator_key()
        runtime.admin.create("acme", base_urls=[URL])
        assert (stored.id, stored.scopes) == (key_id(first), (OPERATOR_SCOPE,))
        assert runtime.admin.store.ids() == ["acme"]

        async def scopes(key: str) -> frozenset[str] | None:
            opened = await runtime.registry.authenticate(key, "acme")
            return None if opened is None else opened.scopes

        assert await scopes(first) == {OPERATOR_SCOPE}
        second, _ = runtime.admin.rotate_key(OPERATOR_ID, overlap_ms=60_000)
        beside, _ = runtime.admin.create_operator_key(expires_at_ms=runtime.admin.now_ms() + 60_000)
        runtime.let_time_pass(5_000)
        assert await scopes(second) == await scopes(beside) == {OPERATOR_SCOPE}
        runtime.let_time_pass()
        assert (await scopes(first), await scopes(beside)) == (None, None)
        runtime.admin.revoke_key(OPERATOR_ID, key_id(second))
        runtime.let_time_pass()
        assert await scopes(second) is None
        # No client can be given that scope or that name.
        with pytest.raises(ValueError, match="scopes are"):
            runtime.admin.add_key("acme", scopes=[OPERATOR_SCOPE])
        with pytest.raises(ValueError, match="client id"):
            runtime.admin.create(OPERATOR_ID, base_urls=[URL])

    @on_runtime
    async def test_the_retentions_of_a_client_are_known_to_each_process(
        self, runtime: RegistryRuntime
    ) -> None:
        runtime.admin.create("acme", base_urls=[URL])
        for name, days in (("beat", 1), ("report", 9)):
            runtime.admin.set_retention("acme", WorkflowRetention(workflow_name=name, days=days))
        runtime.admin.clear_retention("acme", "beat")
        runtime.let_time_pass()
        client = await runtime.registry.get("acme")
        assert client is not None
        assert client.retentions == runtime.admin.retentions("acme")
        assert (client.retentions.days_of("beat"), client.retentions.days_of("report")) == (None, 9)
        assert client.retentions.shortest_days == 1

    @on_runtime
    async def test_a_concurrent_change_is_a_conflict(self, runtime: RegistryRuntime) -> None:
        runtime.admin.create("acme", base_urls=[URL])
        stale = runtime.admin.store.load("acme")
        assert stale is not None
        runtime.admin.change("acme", quota={"starts_per_second": 4.0})
        assert runtime.admin.store.save(stale) is False
        kept = runtime.admin.store.load("acme")
        assert kept is not None
        assert kept.quota == Quota(starts_per_second=4.0)

    @on_runtime
    async def test_a_missing_client_or_key_cannot_be_changed(self, runtime: RegistryRuntime) -> None:
        runtime.admin.create("acme", base_urls=[URL])
        for change in (runtime.admin.rotate_key, runtime.admin.rotate_secret):
            with pytest.raises(ValueError, match="no client 'nobody'"):
                change("nobody")
        with pytest.raises(ValueError, match="has no key 'x'; it has "):
            runtime.admin.revoke_key("acme", "x")

    @on_runtime
    async def test_a_client_is_created_once(self, runtime: RegistryRuntime) -> None:
        api_key, _ = runtime.admin.create("acme", base_urls=[URL])
        with pytest.raises(ValueError, match="'acme' exists already"):
            runtime.admin.create("acme", base_urls=["https://elsewhere.example/"])
        acme = await runtime.registry.authenticate(api_key, "acme")
        assert acme is not None
        assert acme.base_urls == (URL,)

    @on_runtime
    async def test_invalid_settings_are_refused(self, runtime: RegistryRuntime) -> None:
        refusals: list[tuple[str, dict[str, Any]]] = [
            *(("client id", {"client_id": bad, "base_urls": [URL]}) for bad in BAD_IDS),
            *(("base URL", {"client_id": "acme", "base_urls": [URL, bad]}) for bad in BAD_URLS),
            ("at least one base URL", {"client_id": "acme", "base_urls": []}),
            *(
                (
                    "starts per",
                    {"client_id": "acme", "base_urls": [URL], "quota": Quota(starts_per_second=rate)},
                )
                for rate in BAD_RATES
            ),
            ("stored bytes", {"client_id": "acme", "base_urls": [URL], "quota": Quota(stored_bytes=0)}),
            ("live steps", {"client_id": "acme", "base_urls": [URL], "quota": Quota(live_steps=0)}),
            *(("scopes", {"client_id": "acme", "base_urls": [URL], "scopes": bad}) for bad in BAD_SCOPES),
        ]
        for words, arguments in refusals:
            with pytest.raises(ValueError, match=words):
                runtime.admin.create(**arguments)
        runtime.let_time_pass()
        assert await runtime.registry.get("acme") is None
