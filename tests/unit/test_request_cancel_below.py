"""A list of steps that was read late is not used: it may have steps that undo something."""

from dataclasses import replace

import pytest

from atomic.application.graceful_cancel import request_cancel_below
from atomic.domain.steps import Cancelling
from atomic.protocol.enums import Status
from atomic.testing import LocalAtomic, run
from contract.builders import a_child, a_root
from contract.store_suite import put


@pytest.mark.parametrize(("now", "is_cancelled"), [("recall", True), ("recalled", False)])
def test_the_cancel_is_requested_only_before_the_handler_is_told(
    now: Cancelling, is_cancelled: bool
) -> None:
    async def body() -> Status:
        async with LocalAtomic() as atomic:
            store = atomic.engine.store
            asked = replace(a_root(), cancelling="recall", cancel_by_ms=2**50)
            newer = replace(asked, cancelling=now)
            child = a_child("room")
            await put(store, newer)
            await put(store, child)
            await request_cancel_below(atomic.engine, asked)
            found = await store.get(child.id)
            assert found is not None
            return found.status

    assert (run(body()) is Status.CANCELLED) is is_cancelled
