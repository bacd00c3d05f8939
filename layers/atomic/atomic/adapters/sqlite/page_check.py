"""Checks a file that is too large to be checked before the server starts."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from atomic.adapters.sqlite.database import damage_of_pages, open_reader

_AGAIN_S: Final = 0.02


class PageCheck:
    """Reads every page once, in a thread of its own, while the server runs.

    `on_damage` is called on the loop, with a message, if the file is damaged.
    """

    def __init__(self, path: Path, on_damage: Callable[[str], None]) -> None:
        self._reader = open_reader(path)
        self._task = asyncio.create_task(self._run(path, on_damage))

    async def close(self) -> None:
        """Stop it, if it is still running."""
        while not self._task.done():
            # An interruption ends a running statement, but not one that is about to start.
            self._reader.interrupt()
            await asyncio.wait([self._task], timeout=_AGAIN_S)
        self._reader.close()

    async def _run(self, path: Path, on_damage: Callable[[str], None]) -> None:
        with suppress(apsw.InterruptError):
            damage = await asyncio.to_thread(damage_of_pages, self._reader, path)
            if damage is not None:
                on_damage(damage)
