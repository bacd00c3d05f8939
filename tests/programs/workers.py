"""Starts and stops the worker processes, for the player."""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from typing import Final

from programs import wire

_TESTS: Final = Path(__file__).parents[1]
# The hash seed of each worker, so that each iterates sets of strings in another order.
HASH_SEEDS: Final = (1, 2, 3)
_PATIENCE_S: Final = 60.0


class Worker:
    """A worker process."""

    def __init__(self, hash_seed: int) -> None:
        here, there = socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ATOMIC_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "programs.worker", str(there.fileno())],
            cwd=_TESTS,
            env={**environment, "PYTHONHASHSEED": str(hash_seed)},
            pass_fds=(there.fileno(),),
        )
        there.close()
        self._pipe = Connection(here.detach())

    def tell(self, now_s: float, what: wire.What) -> wire.Report:
        """Send a command; return the report. Raises OSError if the worker ends or does not become idle."""
        self._pipe.send(wire.Command(now_s, what))
        if not self._pipe.poll(_PATIENCE_S):
            # The worker then prints its stacks.
            self._process.send_signal(signal.SIGABRT)
            raise TimeoutError(f"a worker does not become idle after {what!r}")
        try:
            report: wire.Report = self._pipe.recv()
        except EOFError:
            raise BrokenPipeError(f"a worker ended after {what!r}") from None
        return report

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.wait(10)


_workers: list[Worker] = []


def workers() -> list[Worker]:
    """The workers of this process, which run until it ends."""
    if not _workers:
        _workers.extend(Worker(seed) for seed in HASH_SEEDS)
        atexit.register(_close)
    return _workers


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a fault of `planted.SDK` in every worker while the context lasts."""
    _plant((name,))
    try:
        yield
    finally:
        _plant(())


def _plant(names: tuple[str, ...]) -> None:
    for worker in workers():
        worker.tell(0.0, wire.Plant(names))


def _close() -> None:
    while _workers:
        _workers.pop().close()
