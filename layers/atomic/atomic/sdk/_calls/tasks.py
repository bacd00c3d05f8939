"""What asyncio has no API for: what a task waits for, and which of asyncio's functions makes a task.

This is read from the task's own attributes and from the frames of asyncio's combinators. Where these do not
tell (a lock, a queue, another release of Python), a task counts as waiting for something outside the
handler, which may happen at any time.
"""

import asyncio
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final
from weakref import WeakKeyDictionary

Task = asyncio.Task[Any]
Future = asyncio.Future[Any]

# The names of asyncio's function (up to Python 3.12, and later), and how many frames above a task factory.
_AS_COMPLETED: Final = frozenset({"as_completed", "_AsCompletedIterator.__init__"})
_GATHER: Final = frozenset({"gather"})
_FRAMES_MAX: Final = 8
_depths: Final[WeakKeyDictionary[Future, int]] = WeakKeyDictionary()


def is_ready(task: Task) -> bool:
    """Whether the loop will run the task next, without waiting for anything."""
    future = _waiter(task)
    return not task.done() and (future is None or future.done())


def awaited(task: Task) -> list[Future]:
    """The futures that a task waits for; for one of asyncio's combinators, its parts."""
    future = _waiter(task)
    if future is None:
        return []
    _, names = _innermost(task)
    if isinstance(names.get("self"), asyncio.TaskGroup):
        return list(names["self"]._tasks)  # noqa: SLF001 - no public name
    # A time-out does not count, because it cannot end in a suspended handler.
    if "return_when" in names:
        return [part for each in names["fs"] for part in _parts(each)]
    return list(_parts(names["fut"] if "timeout_handle" in names else future))


def gathers(task: Task) -> int:
    """The number of `gather` calls between a task and its futures. Each takes a turn of the loop."""
    return _depth(_waiter(task))


def waits_for_peer(task: Task) -> bool:
    """Whether a task waits for a lock or a queue, which another task of this process will release."""
    module, names = _innermost(task)
    # An `asyncio.Event` does not count, because libraries wait for the network by events.
    is_event = isinstance(names.get("self"), asyncio.Event)
    return module in {"asyncio.locks", "asyncio.queues"} and not is_event


def failure_of(task: Task) -> BaseException | None:
    """What a task raised. Unlike `exception()`, this does not mark the exception as retrieved."""
    return None if task.cancelled() else task._exception  # noqa: SLF001 - `exception()` takes notice


def _waiter(task: Task) -> Future | None:
    # CPython has this attribute since 3.4, in its C and its Python version.
    future: Future | None = task._fut_waiter  # type: ignore[attr-defined] # noqa: SLF001 - as above
    return future


def _parts(future: Future) -> Iterator[Future]:
    """The parts of a `gather`; for any other future the future itself."""
    children = getattr(future, "_children", None)
    if children is None:
        yield future
    else:
        for child in children:
            yield from _parts(child)


def _depth(future: Future | None) -> int:
    children = getattr(future, "_children", None)
    if future is None or children is None:
        return 0
    # Cached: the parts of a `gather` stay the same, and there may be thousands of them.
    if (known := _depths.get(future)) is None:
        known = _depths[future] = 1 + max(map(_depth, children), default=0)
    return known


def _innermost(task: Task) -> tuple[str, dict[str, Any]]:
    """Module and variables of asyncio's function in which a task waits; empty for other functions."""
    coroutine: Any = task.get_coro()
    while hasattr(inner := getattr(coroutine, "cr_await", None), "cr_frame"):
        coroutine = inner
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None or not (module := str(frame.f_globals.get("__name__"))).startswith("asyncio."):
        return "", {}
    return module, frame.f_locals


def gathered_with(task: Task, waiting: Task) -> frozenset[Task]:
    """The parts of the `gather` that `waiting` awaits, if `task` is one of them; otherwise none."""
    children = getattr(_waiter(waiting), "_children", ())
    return frozenset(children) if task in children else frozenset()


def is_made_by_gather() -> bool:
    """Whether `gather` makes the task that is being made. Then nobody else knows this task."""
    return _maker(_GATHER) is not None


def list_of_as_completed() -> Any:
    """The argument of the `as_completed` that is making a task; a generator is used up by then."""
    frame = _maker(_AS_COMPLETED)
    return None if frame is None else frame.f_locals.get("fs", frame.f_locals.get("aws"))


def _maker(names: frozenset[str]) -> FrameType | None:
    """The frame of one of asyncio's functions that is making a task now."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - quicker than `inspect.stack()`
    is_in_asyncio = False
    for _ in range(_FRAMES_MAX):
        if frame is None:
            break
        module = str(frame.f_globals.get("__name__"))
        if module == "asyncio.tasks" and frame.f_code.co_qualname in names:
            return frame
        if is_in_asyncio and not module.startswith("asyncio."):
            break
        is_in_asyncio = module.startswith("asyncio.")
        frame = frame.f_back
    return None
