"""The stores compared with a model by state machines. `STORE_EXAMPLES=20000` makes a long campaign."""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.application.ports import DueStep
from atomic.application.run_query import RunQuery
from atomic.domain.steps import Step
from reliability.store_machine import StoreMachine

EXAMPLES = int(os.environ.get("STORE_EXAMPLES", "500"))
STEPS = 50


class MemoryMachine(StoreMachine):
    """A fresh dict for every example."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStepStore()


class SqliteMachine(StoreMachine):
    """One file for all examples, emptied before each, because creating one takes longer than an example."""

    store: SqliteStepStore
    path: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self._open()
        self.wait(self.store._writer.submit(self.store._execute, "DELETE FROM steps"))

    @rule()
    def reopen(self) -> None:
        """Reopen the file; acknowledged rows are still there."""
        self.wait(self.store.close())
        self._open()

    def teardown(self) -> None:
        """Close the file."""
        self.wait(self.store.close())

    def _open(self) -> None:
        self.store = self.wait(SqliteStepStore.open(self.path, on_fatal=pytest.fail))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        StoreMachine.runner = runner
        yield runner


@pytest.fixture
def fast_directory() -> Iterator[Path]:
    """A folder in memory if possible.

    Syncs would take half a minute, and power cuts are tested elsewhere.
    """
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as directory:
        yield Path(directory)


def run(machine: type[StoreMachine], *phases: Phase) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            phases=phases or tuple(Phase),
            # These health checks warn of slow examples; fifty writes to a file are slow.
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.usefixtures("runner")
def test_memory_does_what_the_model_does() -> None:
    run(MemoryMachine)


@pytest.mark.usefixtures("runner")
def test_sqlite_does_what_the_model_does(fast_directory: Path) -> None:
    SqliteMachine.path = fast_directory / "atomic.db"
    run(SqliteMachine)


class LastCreateWins(MemoryStepStore):
    async def create(self, step: Step) -> Step | None:
        existing = self._rows.get(step.id)
        self._rows[step.id] = step
        return existing


class NoFence(MemoryStepStore):
    async def replace(self, step: Step, expected_version: int) -> Step | None:
        existing = await self.get(step.id)
        return await super().replace(step, existing.version if existing else expected_version)


class NoLookupError(MemoryStepStore):
    async def replace(self, step: Step, expected_version: int) -> Step | None:
        return await (
            super().replace(step, expected_version) if step.id in self._rows else self.create(step)
        )


class PagesOverlap(MemoryStepStore):
    async def list(self, query: RunQuery) -> Sequence[Step]:
        after = query.after and (query.after[0] + 1, "")
        return await super().list(replace(query, after=after))


class DueInAnyOrder(MemoryStepStore):
    async def due(self, before_ms: int, limit: int) -> Sequence[DueStep]:
        return sorted(await super().due(before_ms, 1_000), key=lambda step: step.id)[:limit]


class RootsForgottenFirst(MemoryStepStore):
    def _is_forgotten(self, step: Step, now_ms: int) -> bool:
        return step.expires_at_ms is not None and step.expires_at_ms <= now_ms


PLANTED = [LastCreateWins, NoFence, NoLookupError, PagesOverlap, DueInAnyOrder, RootsForgottenFirst]


@pytest.mark.usefixtures("runner")
@pytest.mark.parametrize("store", PLANTED)
def test_a_planted_fault_is_found(store: type[MemoryStepStore]) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__()
            self.store = store()

    # A store that wrote another row than it reported may also fail by itself.
    with pytest.raises((AssertionError, KeyError)):
        run(Machine, Phase.generate)
