"""What makes a test fail, rather than go on for ever or pass by chance."""

import asyncio
import difflib
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from atomic.domain.steps import Attempt, Step
from atomic.sdk import Call, End, HandlerCall, Hooks, Operation

Result = TypeVar("Result")
# How many calls of one handler at one moment of virtual time change nothing, before the test fails.
SAME_CALLS_MAX = 200


class NoProgressError(AssertionError):
    """A handler is called again and again at one moment of virtual time, and nothing changes."""


class DifferentReplayError(AssertionError):
    """A handler did not make the same calls in a replay as before."""


class SilentTelemetry:
    """Telemetry without an output."""

    def started(self, step: Step) -> None:
        """A step was created."""

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over."""

    def owner_lost(self, step: Step) -> None:
        """The process of a step's attempt has ended."""

    def settled(self, step: Step) -> None:
        """A step has its outcome."""

    def reopened(self, step: Step) -> None:
        """A settled step is live again."""

    def lagged(self, lag_ms: int) -> None:
        """A due step was picked up late."""

    def deferred(self, step: Step) -> None:
        """A due step was deferred."""


class Progress(SilentTelemetry):
    """Telemetry that counts what changes in each run, and the calls of handlers since then."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._changes: Counter[str] = Counter()
        self._last: dict[str, tuple[int, int]] = {}
        self._calls: Counter[str] = Counter()

    def called(self, run_id: str, step_id: str, url: str) -> None:
        """An endpoint is called. Raises NoProgressError when it was too often."""
        now_ms = round(asyncio.get_running_loop().time() * 1000)
        seen = (now_ms, self._changes[run_id])
        if self._last.get(step_id) != seen:
            self._last[step_id] = seen
            self._calls[step_id] = 0
        self._calls[step_id] += 1
        if self._calls[step_id] > SAME_CALLS_MAX:
            raise NoProgressError(
                f"run {run_id}: the handler {url} was called {SAME_CALLS_MAX} times at one moment of "
                "virtual time, and no step of the run began or ended: it waits for nothing that could "
                "still happen, or is retried without a pause"
            )

    def started(self, step: Step) -> None:
        """A step was created."""
        self._note(step)

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over, which happens to handlers that make no progress, too."""
        del step, attempt
        self.changed.set()

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        self._note(step)

    def reopened(self, step: Step) -> None:
        """A settled step is live again."""
        self._note(step)

    def _note(self, step: Step) -> None:
        self._changes[step.spec.run_id] += 1
        self.changed.set()


class Replays(Hooks):
    """Notes what each call of a workflow calls, and compares it with the call before."""

    def __init__(self, differs: Callable[[DifferentReplayError], None] | None) -> None:
        self._differs = differs
        self._lock = threading.Lock()
        self._calls: dict[str, list[list[tuple[str, str]]]] = {}
        # By the id of each step, which call of a context it was the first time.
        self._places: dict[str, int] = {}

    def place_of(self, step_id: str) -> int:
        """Tells which of two steps was called first, also in one millisecond."""
        return self._places.get(step_id, len(self._places))

    def of(self, step_id: str) -> tuple[tuple[str, ...], ...]:
        """What each call of a workflow called, in order: kind and name."""
        return tuple(tuple(words for _, words in made) for made in self._calls.get(step_id, ()))

    def call_started(self, call: HandlerCall) -> None:
        """A new call of a function."""
        with self._lock:
            if call.is_workflow:
                self._calls.setdefault(call.call.step_id, []).append([])

    def operation_started(self, operation: Operation) -> None:
        """One more call of its context."""
        with self._lock:
            calls = self._calls.setdefault(operation.call.step_id, [[]])
            self._places.setdefault(operation.step_id, len(self._places))
            calls[-1].append((operation.step_id, f"{operation.kind} {operation.name}"))
            if self._differs is None or len(calls) < 2:
                return
            before, now = calls[-2], calls[-1]
            place = len(now) - 1
            if place >= len(before) or now[place][0] == before[place][0]:
                return
            # Branches may go on in another order.
            if now[place][0] in dict(before):
                return
        self._differs(DifferentReplayError(_difference(operation, before, now, len(calls))))

    def call_ended(self, call: HandlerCall, end: End) -> None:
        """A call of a function has ended: one that succeeds has made all calls of the one before."""
        with self._lock:
            calls = self._calls.get(call.call.step_id, [])
            if self._differs is None or len(calls) < 2 or end.outcome != "succeeded":
                return
            before, made = calls[-2], dict(calls[-1])
            left = next((words for step_id, words in before if step_id not in made), None)
            number = len(calls)
        if left is not None:
            what = f"Its call {number} ended without {left!r}, which call {number - 1} had called."
            self._differs(DifferentReplayError(f"{_told(call.call)} {what}"))


def _difference(
    operation: Operation, before: list[tuple[str, str]], now: list[tuple[str, str]], number: int
) -> str:
    lines = difflib.unified_diff(
        [words for _, words in before[: len(now)]],
        [words for _, words in now],
        f"call {number - 1}",
        f"call {number}",
        lineterm="",
        n=len(now),
    )
    place = len(now) - 1
    was, became = before[place][1], now[place][1]
    what = f"{became!r} in place of {was!r}" if became != was else f"another {became!r} than before"
    return (
        f"{_told(operation.call)} Its call {number} made {what} as its call {place + 1} of the context:\n"
        + "\n".join(lines)
    )


def _told(call: Call) -> str:
    return f"run {call.run_id}: the workflow {call.workflow_name!r} is not deterministic."


class Watch:
    """What is wrong with the handlers of a test; the first finding is raised where the test waits."""

    def __init__(self, *, differs: bool) -> None:
        self.progress = Progress()
        self.replays = Replays(self.found if differs else None)
        self._error: AssertionError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._found: asyncio.Event | None = None

    def open(self) -> None:
        """Begin, on the running loop."""
        self._loop, self._found = asyncio.get_running_loop(), asyncio.Event()

    def found(self, error: AssertionError) -> None:
        """Something is wrong. Any thread may say so."""
        self._error = self._error or error
        if self._loop is not None and self._found is not None:
            self._loop.call_soon_threadsafe(self._found.set)

    def check(self) -> None:
        """Raise what was found."""
        if self._error is not None:
            raise self._error

    async def watched(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of the work. Raises what is found meanwhile."""
        assert self._found is not None
        working = asyncio.ensure_future(work)
        finding = asyncio.ensure_future(self._found.wait())
        try:
            await asyncio.wait({working, finding}, return_when=asyncio.FIRST_COMPLETED)
            self.check()
            return await working
        finally:
            for task in (working, finding):
                task.cancel()
