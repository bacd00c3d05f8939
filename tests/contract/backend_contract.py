"""What every `Backend` must do. Inherit `BackendContract` and define `open` and `is_shared`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from secrets import token_bytes
from typing import Any, ClassVar

import pytest

from atomic.adapters.system import SystemClock
from atomic.application.backend import Backend
from atomic.application.client_admin import ClientAdmin
from atomic.domain.clients.api_keys import Peppers
from contract.builders import a_root

PEPPER = b"pepper"


def on_directory(test: Callable[[Any, Path], Awaitable[None]]) -> Callable[[Any, Path], None]:
    """Run the test on the event loop, with a directory for the backend."""

    def run(self: "BackendContract", tmp_path: Path) -> None:
        asyncio.run(asyncio.wait_for(test(self, tmp_path), 60))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def admin_of(store: Any) -> ClientAdmin:
    """The operator's administration of a client store."""
    return ClientAdmin(store=store, pepper=PEPPER, now_ms=SystemClock().now_ms, token_bytes=token_bytes)


class BackendContract:
    """Inherit and define `open`. `is_shared` says whether several processes may have the backend open."""

    is_shared: ClassVar[bool] = False

    def open(self, directory: Path) -> AbstractAsyncContextManager[Backend]:
        """Open the backend of a directory. These tests cause no fatal error."""
        raise NotImplementedError

    @on_directory
    async def test_rows_outlast_the_process(self, directory: Path) -> None:
        async with self.open(directory) as backend:
            assert await backend.steps.count_live() == 0
            assert await backend.steps.create(a_root()) is None
        async with self.open(directory) as again:
            assert await again.steps.get(a_root().id) == a_root()
            assert await again.steps.count_live() == 1

    @on_directory
    async def test_only_a_shared_backend_can_be_opened_twice(self, directory: Path) -> None:
        async with self.open(directory) as backend:
            assert (backend.shared is not None) is self.is_shared
            if self.is_shared:
                async with self.open(directory) as other:
                    assert await backend.steps.create(a_root()) is None
                    assert await other.steps.create(a_root()) == a_root()
            else:
                with pytest.raises(OSError, match="another"):
                    async with self.open(directory):
                        pass

    @on_directory
    async def test_it_can_be_opened_again_after_an_error(self, directory: Path) -> None:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                async with self.open(directory):
                    raise ZeroDivisionError

    @on_directory
    async def test_a_new_client_is_known(self, directory: Path) -> None:
        now_ms = SystemClock().now_ms
        async with self.open(directory) as backend:
            with backend.registry(peppers=Peppers(PEPPER), now_ms=now_ms) as registry:
                assert await registry.get("acme") is None
                with backend.client_store() as store:
                    api_key, _ = admin_of(store).create("acme", base_urls=["https://app.example/"])
                opened = await registry.authenticate(api_key, "acme")
                assert opened is not None
                assert opened.id == "acme"
        async with self.open(directory) as again:
            with again.registry(peppers=Peppers(b"another"), now_ms=now_ms) as registry:
                assert await registry.authenticate(api_key, "acme") is None
            with again.registry(peppers=Peppers(PEPPER), now_ms=now_ms) as registry:
                assert await registry.authenticate(api_key, "acme") == opened

    @on_directory
    async def test_clients_may_be_changed_in_another_thread(self, directory: Path) -> None:
        async with self.open(directory) as backend:

            def change() -> list[str]:
                with backend.client_store() as store:
                    admin_of(store).create("acme", base_urls=["https://app.example/"])
                    return [*store.ids()]

            assert await asyncio.to_thread(change) == ["acme"]
            with backend.client_store() as store:
                assert [*store.ids()] == ["acme"]
