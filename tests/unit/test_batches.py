"""Work in parallel."""

import asyncio

import pytest

from atomic.application.batches import side_by_side
from atomic.testing import run


def test_it_returns_in_order() -> None:
    async def body() -> list[int]:
        return await side_by_side(*(asyncio.sleep(0, number) for number in range(3)))

    assert run(body()) == [0, 1, 2]


def test_after_an_error_nothing_goes_on() -> None:
    finished: list[str] = []

    async def fail(message: str) -> None:
        await asyncio.sleep(0)
        raise ValueError(message)

    async def finish() -> None:
        await asyncio.sleep(0.01)
        finished.append("the write has what follows it")

    async def body() -> None:
        with pytest.raises(ValueError, match="first"):
            await side_by_side(finish(), fail("first"), fail("second"))
        assert finished
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(body())
