"""Large bodies: one piece of work at a time, clients in turn, and the loop is everybody's in between."""

import asyncio
import time
from collections.abc import Callable

import pytest

from atomic.application.large_bodies import LargeBodies

LARGE = 1_000_000
PIECE_S = 0.01


def piece(done: list[str], name: str) -> Callable[[], str]:
    """Work that holds the loop, and is noted."""

    def work() -> str:
        end_s = time.perf_counter() + PIECE_S
        while time.perf_counter() < end_s:
            pass
        done.append(name)
        return name

    return work


def test_clients_take_turns_however_much_one_of_them_sends() -> None:
    done: list[str] = []

    async def main() -> None:
        bodies = LargeBodies()
        busy = [bodies.read("busy", LARGE, piece(done, f"busy-{number}")) for number in range(10)]
        others = [bodies.read(name, LARGE, piece(done, name)) for name in ("calm", "quiet")]
        assert (await asyncio.gather(*busy, *others))[-2:] == ["calm", "quiet"]

    asyncio.run(main())
    assert done[:3] == ["busy-0", "calm", "quiet"]
    assert done[3:] == [f"busy-{number}" for number in range(1, 10)]


def test_the_loop_is_free_for_as_long_as_it_was_held() -> None:
    async def main() -> tuple[float, float]:
        bodies, loop, done = LargeBodies(), asyncio.get_running_loop(), list[str]()
        free_s, seen_s = 0.0, loop.time()
        pieces = asyncio.gather(*(bodies.read("busy", LARGE, piece(done, "x")) for _ in range(10)))
        began_s = loop.time()
        while not pieces.done():
            await asyncio.sleep(0)
            now_s = loop.time()
            # Whatever takes less than half a piece is the loop's own rounds.
            free_s += now_s - seen_s if now_s - seen_s < PIECE_S / 2 else 0.0
            seen_s = now_s
        return free_s, loop.time() - began_s

    free_s, all_s = asyncio.run(main())
    # Nine pauses beside ten pieces, on a machine that may be busy with something else.
    assert free_s > 0.25 * all_s


def test_what_is_small_waits_for_nobody() -> None:
    done: list[str] = []

    async def main() -> None:
        bodies = LargeBodies()
        large = [asyncio.create_task(bodies.read("busy", LARGE, piece(done, "large"))) for _ in range(3)]
        await asyncio.sleep(0)
        assert await bodies.read("busy", 100, piece(done, "small")) == "small"
        await asyncio.gather(*large)

    asyncio.run(main())
    assert done.index("small") == 0


def test_who_fails_or_goes_away_gives_the_turn_back() -> None:
    done: list[str] = []

    async def main() -> None:
        bodies = LargeBodies()

        def fail() -> None:
            raise ValueError("not JSON")

        first = asyncio.create_task(bodies.read("a", LARGE, piece(done, "first")))
        gone = asyncio.create_task(bodies.read("a", LARGE, piece(done, "gone")))
        wrong = asyncio.create_task(bodies.read("a", LARGE, fail))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(ValueError, match="not JSON"):
            await wrong
        await first
        assert await bodies.read("a", LARGE, piece(done, "last")) == "last"
        assert bodies._clients == {}

    asyncio.run(main())
    assert done == ["first", "last"]
