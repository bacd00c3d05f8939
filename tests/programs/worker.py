"""A process that serves a program's endpoints with the SDK: `python -m programs.worker`, with a pipe.

Everything in it is the production code except the clock, the locks and threads (which a scheduler runs),
and the transport of the clients, which leads to the player.
"""

import asyncio
import faulthandler
import logging
import os
import selectors
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, Final

from programs import turns, wire

_EPOCH_S: Final = 1_767_225_600.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop in the player's virtual time. When it is idle, it asks for the next command."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        self._now_s = 0.0
        super().__init__(_Idle(idle))
        # As in `VirtualTimeLoop`: floats are further apart than 1 ns after some months.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now_s

    def move_on(self, now_s: float) -> None:
        """Advance the time."""
        self._now_s = max(now_s, self._now_s)

    def begin_again(self) -> None:
        """Reset for another program: the time is 0 s, and the timers of the one before are gone."""
        self._scheduled.clear()  # type: ignore[attr-defined]
        self._now_s = 0.0

    def _write_to_self(self) -> None:
        """Does nothing: a thread can only run, and so call this, while the loop is idle."""


class _Idle(selectors.BaseSelector):
    def __init__(self, idle: Callable[[float | None], None]) -> None:
        self._idle = idle
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._idle(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


class Worker:
    """Executes commands, and reports when everything waits."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._is_asked = False
        self.loop = Loop(self._idle)
        self.turns = turns.Turns(self.loop)

    def run(self) -> None:
        """Serve until the pipe is closed."""
        self.server = self._server()
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda *_: None)
        self.loop.run_forever()

    def _server(self) -> Any:
        turns.install(self.turns)
        time.time = lambda: _EPOCH_S + self.loop.time()
        # Imported only now, so that it is built from the replaced locks and threads.
        from programs.serving import Server

        return Server(self.loop, self.turns)

    def _idle(self, timeout: float | None) -> None:
        """The loop is idle: let the threads run, then report to the player and get a command."""
        if self.turns.run():
            return
        if self._is_asked:
            self._pipe.send(wire.Report(self.server.subscription(), timeout))
        command: wire.Command = self._pipe.recv()
        self._is_asked = True
        if isinstance(command.what, wire.Load):
            self.loop.begin_again()
        self.loop.move_on(command.now_s)
        self.server.take(command.what)


def main() -> None:
    """Serve the pipe whose file descriptor is the argument."""
    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    try:
        Worker(Connection(int(sys.argv[1]))).run()
    except EOFError:
        # Threads may still wait for the scheduler, which has ended.
        os._exit(0)


if __name__ == "__main__":
    main()
