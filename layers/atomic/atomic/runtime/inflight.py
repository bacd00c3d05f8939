"""The attempts that are under way in this process."""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any

from atomic.protocol import keys

_log = logging.getLogger("atomic.tasks")


class Tasks:
    """Starts work in the background, knows which runs are busy, and can wait until all work has ended."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()
        self._takes_new_runs = True

    def spawn(self, work: Coroutine[Any, Any, None], *, step_id: str) -> None:
        """Start the work now."""
        task, run_id = asyncio.create_task(work, name=step_id), keys.run_of(step_id)
        self._running.add(task)
        self._busy[run_id] += 1
        task.add_done_callback(partial(self._ended, run_id))

    @property
    def step_ids(self) -> list[str]:
        """The steps for which work is under way."""
        return [task.get_name() for task in self._running]

    def is_busy(self, run_id: str) -> bool:
        """Whether any attempt of the run is under way."""
        return run_id in self._busy

    def refuse_new_runs(self) -> None:
        """From now on, only steps of runs whose handlers are under way are admitted."""
        self._takes_new_runs = False

    def admits(self, run_id: str) -> bool:
        """Whether a step of the run may be started."""
        return self._takes_new_runs or self.is_busy(run_id)

    async def quiet(self, timeout_s: float) -> bool:
        """Wait until all work has ended; False when the time is over first."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._running:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                return False
            await asyncio.wait(self._running, timeout=left_s)
        return True

    async def cancel(self) -> None:
        """Cancel all work, with the effect that the end of the process would have."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, run_id: str, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._busy[run_id] -= 1
        if not self._busy[run_id]:
            del self._busy[run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            # The row is still live, so the step is processed again after its lease or at the next sweep.
            _log.error(
                "an attempt crashed", exc_info=error, extra={"runId": run_id, "stepId": task.get_name()}
            )
