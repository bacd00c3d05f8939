"""What every `ClientRegistry` that keeps clients must do. Inherit `RegistryContract` and define `home`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from atomic.application.ports import Client, ClientRegistry
from atomic.protocol.signatures import decode_secret

URL = "https://app.example/"
BAD_IDS = ["", "a b", "-a", "dashboard", "a/b", "x" * 65, "é"]
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


class RegistryHome(Protocol):
    """A registry, and the place where it keeps its clients."""

    registry: ClientRegistry

    def create(
        self, client_id: str, *, base_urls: Sequence[str], starts_per_s: float | None = None
    ) -> tuple[str, str]:
        """Make a client, not through the registry: its API key and its signing secret."""
        ...

    def delete_keys(self) -> None:
        """Take all API keys away, not through the registry."""
        ...

    def let_time_pass(self) -> None:
        """So much of it that the registry looks again."""
        ...

    def stored(self) -> bytes:
        """Everything that is stored of the clients."""
        ...


def on_home(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run the test on an empty home."""

    def run(self: "RegistryContract", tmp_path: Path) -> None:
        async def body() -> None:
            async with self.home(tmp_path) as home:
                await asyncio.wait_for(test(self, home), 60)

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class RegistryContract:
    """Inherit and define `home`."""

    def home(self, directory: Path) -> AbstractAsyncContextManager[RegistryHome]:
        """A home without clients that may use the directory."""
        raise NotImplementedError

    @on_home
    async def test_a_key_opens_its_client(self, home: RegistryHome) -> None:
        urls = (URL, "http://10.0.0.1:8080/x")
        api_key, secret = home.create("acme", base_urls=urls, starts_per_s=2.5)
        other_key, _ = home.create("other", base_urls=[URL])
        acme = await home.registry.authenticate(api_key, "acme")
        assert acme == Client(
            id="acme", base_urls=urls, signing_secrets=(decode_secret(secret),), starts_per_s=2.5
        )
        assert await home.registry.get("acme") == acme
        # Which client the path names decides nothing here: the key says whose it is.
        other = await home.registry.authenticate(other_key, "acme")
        assert other is not None
        assert (other.id, other.starts_per_s) == ("other", None)

    @on_home
    async def test_a_host_is_kept_in_a_labels(self, home: RegistryHome) -> None:
        home.create("acme", base_urls=["https://Bücher.example:8443/steps"])
        acme = await home.registry.get("acme")
        assert acme is not None
        assert acme.base_urls == ("https://xn--bcher-kva.example:8443/steps",)

    @on_home
    async def test_any_other_key_opens_nothing(self, home: RegistryHome) -> None:
        api_key, _ = home.create("acme", base_urls=[URL])
        last = "1" if api_key[-1] == "0" else "0"
        wrong = [None, "", "x", "atm_", api_key[:-1], api_key[:-1] + last, api_key + "0", api_key.upper()]
        wrong += [api_key[:-1] + "\udce9", api_key.replace("atm_", ""), f"atm_{'0' * 8}_{'0' * 64}"]
        for key in wrong:
            assert await home.registry.authenticate(key, "acme") is None, key
        for client_id in ("nobody", "", "a/b", "x" * 65):
            assert await home.registry.get(client_id) is None

    @on_home
    async def test_the_key_itself_is_not_stored(self, home: RegistryHome) -> None:
        api_key, _ = home.create("acme", base_urls=[URL])
        secret_part = api_key.rpartition("_")[2]
        assert len(secret_part) == 64
        assert b"acme" in home.stored()
        assert secret_part.encode() not in home.stored()

    @on_home
    async def test_what_is_done_elsewhere_is_seen_soon(self, home: RegistryHome) -> None:
        assert await home.registry.get("acme") is None
        api_key, _ = home.create("acme", base_urls=[URL])
        assert await home.registry.get("acme") is None  # the store is not asked with every call
        home.let_time_pass()
        assert await home.registry.authenticate(api_key, "acme") is not None
        home.delete_keys()
        assert await home.registry.authenticate(api_key, "acme") is not None
        home.let_time_pass()
        assert await home.registry.authenticate(api_key, "acme") is None

    @on_home
    async def test_a_client_is_made_once(self, home: RegistryHome) -> None:
        api_key, _ = home.create("acme", base_urls=[URL])
        with pytest.raises(ValueError, match="'acme' exists already"):
            home.create("acme", base_urls=["https://elsewhere.example/"])
        acme = await home.registry.authenticate(api_key, "acme")
        assert acme is not None
        assert acme.base_urls == (URL,)

    @on_home
    async def test_what_cannot_be_used_is_refused(self, home: RegistryHome) -> None:
        refusals: list[tuple[str, dict[str, Any]]] = [
            *(("client id", {"client_id": bad, "base_urls": [URL]}) for bad in BAD_IDS),
            *(("base URL", {"client_id": "acme", "base_urls": [URL, bad]}) for bad in BAD_URLS),
            ("at least one base URL", {"client_id": "acme", "base_urls": []}),
            *(
                ("starts per second", {"client_id": "acme", "base_urls": [URL], "starts_per_s": rate})
                for rate in (0.0, -1.0, float("nan"), float("inf"))
            ),
        ]
        for words, arguments in refusals:
            with pytest.raises(ValueError, match=words):
                home.create(**arguments)
        home.let_time_pass()
        assert await home.registry.get("acme") is None
