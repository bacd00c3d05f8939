"""Large bodies: one piece of work at a time, round-robin by client, with pauses for the event loop."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from atomic.application.engine import LargeBodies
from atomic.testing.virtual_time import VirtualTimeLoop, run

LARGE = 1_000_000
PIECE_S = 0.01
Held = tuple[str, float, float]


def piece(held: list[Held], name: str) -> Callable[[], str]:
    """Work that blocks the loop for a while, and records its start and end."""

    def work() -> str:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        began_s = loop.time()
        loop.jump(PIECE_S)
        held.append((name, began_s, loop.time()))
        return name

    return work


def test_clients_are_served_round_robin_however_much_one_sends() -> None:
    held: list[Held] = []

    async def main() -> None:
        bodies = LargeBodies()
        busy = [bodies.read("busy", LARGE, piece(held, f"busy-{number}")) for number in range(10)]
        others = [bodies.read(name, LARGE, piece(held, name)) for name in ("calm", "quiet")]
        assert (await asyncio.gather(*busy, *others))[-2:] == ["calm", "quiet"]

    run(main())
    names = [name for name, _, _ in held]
    assert names[:3] == ["busy-0", "calm", "quiet"]
    assert names[3:] == [f"busy-{number}" for number in range(1, 10)]


def test_the_loop_is_free_for_as_long_as_it_was_blocked() -> None:
    held: list[Held] = []

    async def main() -> None:
        bodies = LargeBodies()
        await asyncio.gather(*(bodies.read("busy", LARGE, piece(held, "x")) for _ in range(10)))
        # Work that arrives after a long enough pause begins at once.
        await asyncio.sleep(1)
        before_s = asyncio.get_running_loop().time()
        await bodies.read("busy", LARGE, piece(held, "x"))
        assert held[-1][1] == before_s

    run(main())
    pauses = [begin - end for (_, _, end), (_, begin, _) in itertools.pairwise(held[:10])]
    assert pauses == [pytest.approx(PIECE_S)] * 9


def test_others_go_on_between_two_pieces() -> None:
    held: list[Held] = []
    rounds = 0

    async def main() -> None:
        nonlocal rounds
        bodies = LargeBodies()
        pieces = asyncio.gather(*(bodies.read("busy", LARGE, piece(held, "x")) for _ in range(10)))
        while not pieces.done():
            await asyncio.sleep(PIECE_S / 10)
            rounds += 1

    run(main())
    assert rounds > 9 * 9


def test_small_bodies_do_not_wait() -> None:
    held: list[Held] = []

    async def main() -> None:
        bodies = LargeBodies()
        large = [asyncio.create_task(bodies.read("busy", LARGE, piece(held, "large"))) for _ in range(3)]
        await asyncio.sleep(0)
        assert await bodies.read("busy", 100, piece(held, "small")) == "small"
        await asyncio.gather(*large)

    run(main())
    assert held[0][0] == "small"


def test_failed_and_cancelled_work_frees_the_queue() -> None:
    held: list[Held] = []

    async def main() -> None:
        bodies = LargeBodies()

        def fail() -> None:
            raise ValueError("not JSON")

        first = asyncio.create_task(bodies.read("a", LARGE, piece(held, "first")))
        gone = asyncio.create_task(bodies.read("a", LARGE, piece(held, "gone")))
        wrong = asyncio.create_task(bodies.read("a", LARGE, fail))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(ValueError, match="not JSON"):
            await wrong
        await first
        assert await bodies.read("a", LARGE, piece(held, "last")) == "last"
        assert bodies._clients == {}

    run(main())
    assert [name for name, _, _ in held] == ["first", "last"]
