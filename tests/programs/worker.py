"""A process that serves a program's endpoints by the SDK; `python -m programs.worker` with a pipe.

Everything in it is the real one but the clock, the locks and threads (which take turns) and the transport
of the clients, which leads to the player.
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
    """An event loop in the player's time. When it has nothing to do it asks what is next."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        self._now_s = 0.0
        super().__init__(_Idle(idle))

    def time(self) -> float:
        return self._now_s

    def move_on(self, now_s: float) -> None:
        """It is later now."""
        self._now_s = max(now_s, self._now_s)

    def begin_again(self) -> None:
        """Another program begins at 0 s, and finds no timers of the one before."""
        self._scheduled.clear()  # type: ignore[attr-defined]
        self._now_s = 0.0

    def _write_to_self(self) -> None:
        """Whoever calls from a thread has its turn because this loop is idle."""


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
    """Takes commands when nothing moves any more, and reports."""

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
        # Not before: from here on everything is made of locks and threads that take turns.
        from programs.serving import Server

        return Server(self.loop, self.turns)

    def _idle(self, timeout: float | None) -> None:
        """Nothing is left to do on the loop: let the threads run, then tell and ask the player."""
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
    """Serve the pipe whose descriptor is the argument."""
    logging.disable(logging.CRITICAL)
    faulthandler.enable()
    try:
        Worker(Connection(int(sys.argv[1]))).run()
    except EOFError:
        # Threads may still wait for turns that nobody gives.
        os._exit(0)


if __name__ == "__main__":
    main()
