"""The base of the store contract's suites: how a test opens its store."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from atomic.application.blobs import stored_apart
from atomic.application.ports import StepStore
from atomic.domain.steps import Step
from contract.builders import a_root, a_spec


class StoreSuite:
    """Tests that run on any store.

    `without` names the abilities that a store lacks, each with the reason.
    """

    without: ClassVar[Mapping[str, str]] = {}

    def store(self, directory: Path) -> AbstractAsyncContextManager[StepStore]:
        """A fresh, empty store; it may use the directory."""
        raise NotImplementedError


def on_store(test: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any, Path], None]:
    """Run the test on a fresh store."""

    def run(self: "StoreSuite", tmp_path: Path) -> None:
        async def body() -> None:
            async with self.store(tmp_path) as store:
                await asyncio.wait_for(test(self, store), 60)

        asyncio.run(body())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


Test = Callable[[Any, Path], None]


def needs(ability: str) -> Callable[[Test], Test]:
    """Skip the test on a store that lacks this ability."""

    def decorate(test: Test) -> Test:
        def run(self: "StoreSuite", tmp_path: Path) -> None:
            if ability in self.without:
                pytest.skip(self.without[ability])
            test(self, tmp_path)

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return decorate


async def put(store: StepStore, *steps: Step) -> None:
    """Insert rows unchanged, with their large texts."""
    for step in steps:
        assert await store.create(await stored_apart(store, step)) is None


def keyed(key: str, **more: Any) -> Step:
    """A root with this key."""
    spec_names = {name: more.pop(name) for name in ("client_id", "workflow_name", "tags") if name in more}
    return a_root(a_spec(key=key, **spec_names), **more)
