"""What a handler that is called again reads is what posts of its steps would find."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.child_steps import first_page
from atomic.application.reentry import has_expired, own_step, own_steps, posted_before
from atomic.application.refusals import RunCancelled
from atomic.application.start import start
from atomic.domain.leftovers import is_outlived
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.testing import LocalAtomic, run
from atomic.testing.virtual_time import EPOCH_MS
from contract.builders import RETENTION_MS, a_child, a_root, settled
from contract.store_suite import put

NOW = EPOCH_MS
OLD = NOW - RETENTION_MS


class Reads(MemoryStepStore):
    """Counts what is read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def get(self, step_id: str) -> Step | None:
        self.calls.append("get root" if step_id.endswith("-root") else "get")
        return await super().get(step_id)

    async def create(self, step: Step) -> Step | None:
        self.calls.append("create")
        return await super().create(step)


def on_engine(test: Callable[[Any, Reads], Awaitable[None]]) -> None:
    """Run the test with an engine in virtual time."""

    async def body() -> None:
        store = Reads()
        async with LocalAtomic(store=store) as atomic:
            await test(atomic.engine, store)

    run(body())


@pytest.mark.parametrize(
    ("root", "is_remembered"),
    [
        pytest.param(a_root(at_ms=OLD - 9), True, id="of-a-run-that-is-still-live"),
        pytest.param(a_root(at_ms=NOW - 5), False, id="of-the-run-before"),
        pytest.param(None, False, id="of-no-run"),
        pytest.param(settled(a_root(at_ms=OLD - 9), OLD), False, id="of-a-run-that-has-expired-too"),
    ],
)
def test_what_has_expired_is_not_shown_and_not_found(root: Step | None, is_remembered: bool) -> None:
    async def body(engine: Any, store: Reads) -> None:
        old, new = settled(a_child("old"), OLD - 6), settled(a_child("new"), NOW - 3)
        parent = a_root().id
        await put(store, *([root] if root else []), old, new)
        shown = sorted([old, new] if is_remembered else [new], key=lambda step: step.id)

        assert await has_expired(engine, old) is not is_remembered
        assert list((await own_steps(engine, parent, after=None, limit=9)).steps) == shown
        assert list((await own_step(engine, parent, old.id)).steps) == ([old] if is_remembered else [])
        assert await posted_before(engine, old.spec) == (old if is_remembered else None)
        assert await posted_before(engine, new.spec) == new

    on_engine(body)


def test_what_is_outlived_ends_to_the_millisecond() -> None:
    step, root = settled(a_child("old"), OLD), settled(a_root(), OLD + 5)
    assert [is_outlived(step, None, NOW + later) for later in (-1, 0)] == [False, True]
    assert [is_outlived(step, root, NOW + later) for later in (4, 5)] == [False, True]
    assert not is_outlived(a_child("live"), None, NOW)


def test_a_repeated_post_is_one_read_and_a_new_one_is_written_as_ever() -> None:
    async def body(engine: Any, store: Reads) -> None:
        done, new = settled(a_child("done"), NOW), a_child("new").spec
        await put(store, a_root(at_ms=NOW), done)
        store.calls.clear()
        found = await start(engine, done.spec, wait_ms=1_000, attempt=2)
        assert (found.step, found.replayed, store.calls) == (done, True, ["get"])
        store.calls.clear()
        begun = await start(engine, new, wait_ms=0, attempt=2)
        assert begun.created
        assert store.calls[:3] == ["get", "get root", "create"]
        # A step that is live is found, too; whether it may go on is told by its root, which was seen.
        store.calls.clear()
        again = await start(engine, new, wait_ms=0, attempt=2)
        assert (again.created, again.replayed, store.calls[0]) == (False, False, "get")
        assert "create" not in store.calls

    on_engine(body)


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.PENDING])
def test_a_run_that_was_cancelled_takes_no_repeated_post_either(status: Status) -> None:
    async def body(engine: Any, store: Reads) -> None:
        root = settled(a_root(at_ms=NOW), NOW, Status.CANCELLED)
        step = a_child("mail", at_ms=NOW, status=status)
        await put(store, root, step)
        if status is Status.SUCCEEDED:
            # What has settled is worth no look at its root; what this process knows counts.
            assert await posted_before(engine, step.spec) == step
            engine.runs.remember(root, NOW)
        with pytest.raises(RunCancelled):
            await start(engine, step.spec, wait_ms=0, attempt=2)

    on_engine(body)


def test_a_page_counts_what_text_becomes_in_json() -> None:
    text = StoredBody(b"\x01" * 1_000, "text", "text/plain")
    children = [replace(a_child(f"{n}"), response=text) for n in range(3)]
    assert len(first_page(children, limit=9, max_bytes=13_000).steps) == 2
    assert first_page([], limit=9, max_bytes=1).next_after is None
