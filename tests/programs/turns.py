"""A cooperative scheduler of threads: one thread runs at a time, until it has to wait.

A process that installs it knows when all of its threads wait, and advances virtual time only then. A seed,
not the machine, decides which thread is next, so runs are reproducible. The threads are real:
`threading.local`, names and identities work as usual. Classes of the standard library that are built on
locks (conditions, events, queues, executors) work unchanged on top of the replaced locks.
"""

import _thread
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call."""


class Clock(Protocol):
    """Virtual time."""

    def time(self) -> float:
        """Seconds."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Schedule a call after that many seconds."""


class Turn:
    """A thread from the scheduler's point of view."""

    def __init__(self) -> None:
        self.go = _thread.allocate_lock()
        self.go.acquire()


class Turns:
    """The scheduler: decides which thread may run.

    The thread that creates it runs the others, and is not scheduled itself.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.chance = random.Random(0)
        self._ready: list[Turn] = []
        self._running: Turn | None = None
        self._back = _thread.allocate_lock()
        self._back.acquire()

    def run(self) -> bool:
        """Run all runnable threads until all of them wait; return whether there was one."""
        ran = bool(self._ready)
        while self._ready:
            self._running = self._ready.pop(self.chance.randrange(len(self._ready)))
            self._running.go.release()
            self._back.acquire()
        self._running = None
        return ran

    def running(self) -> Turn:
        """The thread whose turn it is."""
        assert self._running is not None, "the scheduling thread must not wait for a scheduled thread"
        return self._running

    def wait(self) -> None:
        """Let other threads run until this one is woken."""
        own = self.running()
        self._back.release()
        own.go.acquire()

    def wake(self, turn: Turn) -> None:
        """Make a waiting thread runnable."""
        self._ready.append(turn)

    def begin(self, work: Callable[[], object]) -> None:
        """Run a function in a new thread."""
        turn = Turn()

        def run() -> None:
            turn.go.acquire()
            try:
                work()
            finally:
                # `threading` does not know such a thread, and would keep a dummy entry for it for ever.
                threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]
                self._back.release()

        _thread.start_new_thread(run, ())
        self.wake(turn)

    def sleep(self, seconds: float) -> None:
        """Replaces `time.sleep`."""
        self.clock.call_later(max(0.0, seconds), self.wake, self.running())
        self.wait()


class TurnLock:
    """Replaces `threading.Lock`. Waiting threads get it in the order of their arrival."""

    turns: Turns

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: deque[Turn] = deque()
        self._gave_up: set[Turn] = set()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not self._is_held:
            self._is_held = True
            return True
        if not blocking:
            return False
        own = self.turns.running()
        self._waiting.append(own)
        timer = self.turns.clock.call_later(timeout, self._give_up, own) if timeout >= 0 else None
        self.turns.wait()
        if timer is not None:
            timer.cancel()
        failed = own in self._gave_up
        self._gave_up.discard(own)
        return not failed

    def release(self) -> None:
        if not self._is_held:
            raise RuntimeError("release unlocked lock")
        if self._waiting:
            self.turns.wake(self._waiting.popleft())
        else:
            self._is_held = False

    def locked(self) -> bool:
        return self._is_held

    def _give_up(self, turn: Turn) -> None:
        # The lock may just have been handed over, before the thread could run.
        if turn in self._waiting:
            self._waiting.remove(turn)
            self._gave_up.add(turn)
            self.turns.wake(turn)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class TurnThread:
    """Replaces `threading.Thread`, as far as executors and the SDK use it."""

    turns: Turns

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or "turn"
        self.daemon = daemon
        self._work = lambda: target(*args, **(kwargs or {})) if target else None
        self._ended = threading.Event()

    def start(self) -> None:
        self.turns.begin(self._run)

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()


def install(turns: Turns) -> None:
    """Replace locks, threads and clocks, so that all threads that are created from now on are scheduled."""
    TurnLock.turns = TurnThread.turns = turns
    replaced: dict[Any, dict[str, Any]] = {
        threading: {
            "Lock": TurnLock,
            "_allocate_lock": TurnLock,
            "RLock": threading._PyRLock,  # type: ignore[attr-defined]  # made of `_allocate_lock`
            "Thread": TurnThread,
            "_time": turns.clock.time,
        },
        queue: {"SimpleQueue": queue._PySimpleQueue},  # type: ignore[attr-defined]  # made of a semaphore
        time: {"sleep": turns.sleep, "monotonic": turns.clock.time},
    }
    for module, names in replaced.items():
        for name, value in names.items():
            setattr(module, name, value)
