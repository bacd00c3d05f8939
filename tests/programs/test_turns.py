"""Scheduled threads run one at a time, in virtual time, reproducibly; lock-based classes work."""

import subprocess
import sys
from pathlib import Path

# In a process of its own, because the installed patches stay.
_SCRIPT = """
import asyncio, sys
from programs.turns import Turns, install
from programs.worker import Loop

def idle(timeout):
    if not turns.run():
        if timeout is None:
            loop.stop()
        else:
            loop.move_on(loop.time() + timeout)

loop = Loop(idle)
turns = Turns(loop)
turns.chance.seed(int(sys.argv[1]))
install(turns)

import queue, threading, time
from concurrent.futures import ThreadPoolExecutor

said = []

def pooled():
    def work(name, seconds):
        said.append(f"{name} begins at {time.monotonic():g}")
        time.sleep(seconds)
        said.append(f"{name} ends at {time.monotonic():g}")
        return name
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, name, seconds) for name, seconds in (("a", 3), ("b", 5000), ("c", 1))]
        assert [future.result() for future in futures] == ["a", "b", "c"]

def waiting():
    event, line, lock = threading.Event(), queue.SimpleQueue(), threading.RLock()
    assert event.wait(7) is False and time.monotonic() == 7
    threading.Thread(target=line.put, args=(1,)).start()
    assert line.get() == 1
    with lock, lock:
        other = threading.Thread(target=lambda: [lock.acquire(), said.append("has it"), lock.release()])
        other.start()
        assert other.is_alive()
        other.join(10)
        assert other.is_alive() and time.monotonic() == 17
    other.join()
    assert threading.Lock().acquire(timeout=1)
    for name in "vwxyz":
        threading.Thread(target=said.append, args=(name,)).start()

threading.Thread(target=pooled).start()
threading.Thread(target=waiting).start()
loop.run_forever()
print(said)
"""


def _said(seed: int) -> str:
    command = [sys.executable, "-c", _SCRIPT, str(seed)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_threads_take_turns_in_virtual_time() -> None:
    said = _said(1)
    assert "c begins at 3" in said
    assert "b ends at 5000" in said
    assert "c ends at 4" in said
    assert "has it" in said


def test_the_seed_decides_the_order_of_threads() -> None:
    orders = [_said(seed) for seed in (1, 1, 2, 3, 4)]
    assert orders[0] == orders[1]
    assert len(set(orders)) > 1
