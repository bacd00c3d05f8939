"""Threads that take turns: one runs at a time, and one that has to wait hands its turn on.

A process that installs them knows when all of its threads wait, so virtual time can stand still until then;
and chance, not the machine, decides who is next, so what a seed shows it shows again. They are real
threads: `threading.local`, names and identities are as ever. What the standard library builds of locks
(conditions, events, queues, executors) takes turns because its locks do.
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
    """A call that has not been made yet."""

    def cancel(self) -> None:
        """Do not make it."""


class Clock(Protocol):
    """Virtual time."""

    def time(self) -> float:
        """Seconds."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call when so much time has passed."""


class Turn:
    """A thread, as far as turns go."""

    def __init__(self) -> None:
        self.go = _thread.allocate_lock()
        self.go.acquire()


class Turns:
    """Who may run. The thread that made this one runs the others, and is none of them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.chance = random.Random(0)
        self._ready: list[Turn] = []
        self._running: Turn | None = None
        self._back = _thread.allocate_lock()
        self._back.acquire()

    def run(self) -> bool:
        """Let all run that can, until all wait; whether there was one."""
        ran = bool(self._ready)
        while self._ready:
            self._running = self._ready.pop(self.chance.randrange(len(self._ready)))
            self._running.go.release()
            self._back.acquire()
        self._running = None
        return ran

    def running(self) -> Turn:
        """The thread whose turn it is."""
        assert self._running is not None, "the thread that runs the others would wait for one of them"
        return self._running

    def wait(self) -> None:
        """Hand the turn on until somebody wakes this thread."""
        own = self.running()
        self._back.release()
        own.go.acquire()

    def wake(self, turn: Turn) -> None:
        """Let a waiting thread go on when it is its turn."""
        self._ready.append(turn)

    def begin(self, work: Callable[[], object]) -> None:
        """Run something in a thread of its own."""
        turn = Turn()

        def run() -> None:
            turn.go.acquire()
            try:
                work()
            finally:
                # Such a thread is a stranger to `threading`, which keeps a note of it for ever.
                threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]
                self._back.release()

        _thread.start_new_thread(run, ())
        self.wake(turn)

    def sleep(self, seconds: float) -> None:
        """What `time.sleep` is."""
        self.clock.call_later(max(0.0, seconds), self.wake, self.running())
        self.wait()


class TurnLock:
    """What `threading.Lock` is. It goes to those who wait in the order in which they came."""

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
        # The lock may have been handed over in this very moment; the thread has not seen it yet.
        if turn in self._waiting:
            self._waiting.remove(turn)
            self._gave_up.add(turn)
            self.turns.wake(turn)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class TurnThread:
    """What `threading.Thread` is, as far as executors and the SDK use it."""

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
    """Have every lock and thread that is made from now on take turns, in virtual time."""
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
