"""Servers on one store: a single server takes over its predecessor's steps; one of several does not."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from atomic.adapters.memory.flow import MemoryFlowStore
from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.backend import SharedCounts
from atomic.application.client_admin import ClientStore
from atomic.application.destinations import CountedRuns
from atomic.application.ports import ClientRegistry
from atomic.application.rates import CountedStarts
from atomic.domain.steps import Step
from atomic.domain.transitions import begin
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.wiring import wired
from atomic.protocol import keys
from atomic.protocol.enums import Status
from atomic.testing.endpoints import EndpointCall, EndpointReply
from contract.builders import a_spec, settled
from scenarios.embedded_runtime import EndpointServer, free_port
from unit.strategies import running


class FarStore(MemoryStepStore):
    """A store that lets other tasks run between a read of a row and the following write."""

    async def get(self, step_id: str) -> Step | None:
        """The row as it was a moment ago."""
        found = await super().get(step_id)
        await asyncio.sleep(0.001)
        return found


@dataclass
class MemoryBackend:
    """A backend in memory, without clients."""

    shared: SharedCounts | None
    steps: MemoryStepStore = field(default_factory=FarStore)
    flow: MemoryFlowStore = field(default_factory=MemoryFlowStore)

    def registry(
        self, *, pepper: bytes, now_ms: Callable[[], int]
    ) -> AbstractContextManager[ClientRegistry]:
        raise NotImplementedError

    def client_store(self) -> AbstractContextManager[ClientStore]:
        raise NotImplementedError


def shared_counts() -> SharedCounts:
    return SharedCounts(starts=CountedStarts(), destinations=CountedRuns())


@pytest.mark.parametrize(
    ("shared", "taken"), [(None, 1), (shared_counts(), 0)], ids=["only", "one of several"]
)
def test_what_a_row_says_is_running_is_taken_over_by_the_only_process(
    tmp_path: Path, shared: SharedCounts | None, taken: int
) -> None:
    async def main() -> Step | None:
        backend = MemoryBackend(shared)
        step = running()
        await backend.steps.create(step)
        async with wired(ServerSettings(dev=True, data_dir=tmp_path), backend) as server:
            assert await server.recover() == taken
        return await backend.steps.get(step.id)

    after = asyncio.run(main())
    assert after is not None
    assert (after.status is Status.RUNNING) is (taken == 0)


def test_a_caller_at_one_server_gets_an_outcome_from_another(tmp_path: Path) -> None:
    async def main() -> None:
        backend = MemoryBackend(shared_counts())
        step = running()
        await backend.steps.create(step)
        settings = ServerSettings(dev=True, data_dir=tmp_path)
        async with wired(settings, backend) as one, wired(settings, backend) as other:
            with one.engine.notifier.subscribe(step.id) as subscription:
                done = replace(settled(step, step.created_at_ms + 1), version=step.version + 1)
                assert await backend.steps.replace(done, step.version) is None
                other.engine.notifier.publish(done)
                # None means that the store should be read.
                assert await asyncio.wait_for(subscription.next(60_000), 5) is None
                assert await one.engine.store.get(step.id) == done

    asyncio.run(main())


def test_what_two_of_several_find_due_is_called_once(tmp_path: Path) -> None:
    calls: Counter[str] = Counter()

    async def endpoint(call: EndpointCall) -> EndpointReply:
        calls[call.headers["idempotency-key"]] += 1
        return EndpointReply(json="ok")

    async def main() -> list[Step | None]:
        backend = MemoryBackend(shared_counts())
        settings = ServerSettings(dev=True, data_dir=tmp_path)
        async with EndpointServer(free_port()).running() as endpoints:
            url = endpoints.serve("/", endpoint)
            due = [begin(replace(a_spec(key=f"k{n}"), url=url), keys.ROOT, 1_000, None) for n in range(30)]
            for step in due:
                await backend.steps.create(step)
            async with wired(settings, backend) as one, wired(settings, backend) as other:
                for server in (one, other):
                    server.driver.start()
                for _ in range(600):
                    if not await backend.steps.count_live():
                        break
                    await asyncio.sleep(0.05)
                for server in (one, other):
                    await server.driver.stop()
                    assert await server.tasks.quiet(10)
            return [await backend.steps.get(step.id) for step in due]

    after = asyncio.run(main())
    assert [step and (step.status, step.attempt_count) for step in after] == [(Status.SUCCEEDED, 1)] * 30
    assert calls == {f"k{n}": 1 for n in range(30)}


def test_several_count_together_what_one_counts_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        settings = ServerSettings(dev=True, data_dir=tmp_path, destination_runs=1)
        few = SharedCounts(starts=CountedStarts(), destinations=CountedRuns(1))
        together, alone = MemoryBackend(few), MemoryBackend(None)
        spec = running().spec
        other_run = replace(spec, idempotency_key="k2", run_id="run_2")
        async with wired(settings, together) as one, wired(settings, together) as other:
            assert await one.engine.admission.permit(spec) is not None
            assert await other.engine.admission.permit(other_run) is None
        async with wired(settings, alone) as server:
            assert await server.engine.admission.permit(spec) is not None
            assert await server.engine.admission.permit(other_run) is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "is_adaptive"),
    [
        ({}, True),
        ({"destination_limit": "fixed"}, False),
        ({"virtual_time": "now"}, False),
    ],
)
def test_a_server_adapts_to_destinations_unless_it_is_told_not_to(
    options: dict[str, str], is_adaptive: bool, tmp_path: Path
) -> None:
    async def main() -> None:
        settings = ServerSettings.of_flags(dev=True, data_dir=tmp_path, **options)
        async with wired(settings, MemoryBackend(None)) as server:
            assert (server.engine.admission.adaptive is not None) is is_adaptive

    asyncio.run(main())
