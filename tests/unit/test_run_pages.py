"""A page of a run has the requested length, or as much as can be sent; paging misses nothing."""

from dataclasses import replace

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.queries import get_run
from atomic.domain.clients.client import Client
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step
from atomic.testing import LocalAtomic, run
from contract.builders import a_child, a_root
from contract.store_suite import put


@pytest.mark.parametrize("limit", [1, 99, 100, 101, 250, 251, 1000])
def test_pages_of_small_steps_have_the_length_asked_for(limit: int) -> None:
    children = [a_child(f"{number:03d}") for number in range(250)]
    lengths = pages(children, limit)
    assert lengths == [limit] * (250 // limit) + [250 % limit] * (250 % limit > 0)


def test_a_page_ends_where_it_becomes_too_large_and_has_one_step_at_least() -> None:
    payload = b'"' + b"x" * 200_000 + b'"'
    children = [
        replace(child, spec=replace(child.spec, payload=payload))
        for child in (a_child(f"{number:03d}") for number in range(30))
    ]
    assert pages(children, 1000) == [9, 9, 9, 3]
    # Control characters in a text take six bytes each in JSON.
    text = StoredBody(b"\x01" * 262_144, "text", "text/plain")
    large = [replace(a_child(f"{number}"), response=text) for number in range(3)]
    assert pages(large, 1000) == [1, 1, 1]
    # What is too long for a page is not on it, and takes no room.
    longer = StoredBody(b"x" * 262_145, "text", "text/plain")
    large = [replace(a_child(f"{number}"), response=longer) for number in range(30)]
    assert pages(large, 1000) == [30]


def pages(children: list[Step], limit: int) -> list[int]:
    """The lengths of the pages of a run with these steps."""

    async def read() -> list[int]:
        root = a_root()
        store = MemoryStepStore()
        await put(store, root, *children)
        engine = LocalAtomic(store=store).engine
        lengths, seen = [], set()
        after, is_over = None, False
        while not is_over:
            page = await get_run(engine, Client(id="acme"), root.spec.run_id, after=after, limit=limit)
            assert page.root == root
            lengths.append(len(page.steps))
            seen |= {step.id for step in page.steps}
            after, is_over = page.next_after, page.next_after is None
        assert seen == {step.id for step in children}
        return lengths

    return run(read())
