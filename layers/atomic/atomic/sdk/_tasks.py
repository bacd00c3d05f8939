"""Which asyncio tasks are made while a handler runs, and what they wait for.

asyncio has no API for either. A task factory sees new tasks. What a task waits for is read from its own
attributes and from the frames of asyncio's combinators. Where that is not known (a lock, a queue, another
release of Python) it counts as something outside the handler, which may happen at any time.
"""

import asyncio
import sys
from collections.abc import Callable, Collection, Iterator
from contextvars import Context, ContextVar
from functools import partial
from types import FrameType
from typing import Any, Final
from weakref import WeakSet

Task = asyncio.Task[Any]
Future = asyncio.Future[Any]

# Makes every task of this context; it is given what would make it.
task_maker: Final[ContextVar[Callable[[Callable[[], Task]], Task] | None]] = ContextVar(
    "atomic_task_maker", default=None
)
# Which function of asyncio it is (up to Python 3.12, from then on), and how far it is from a task factory.
_AS_COMPLETED: Final = frozenset({"as_completed", "_AsCompletedIterator.__init__"})
_FRAMES_MAX: Final = 8
_watched: Final[WeakSet[asyncio.AbstractEventLoop]] = WeakSet()


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop ask `task_maker` for new tasks. Its own factory still makes them."""
    if loop in _watched:
        return
    _watched.add(loop)
    factory = loop.get_task_factory() or _plain
    # By their coroutines, those that were made and not asked for yet.
    early: dict[Any, Any] = {}

    def made(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        context: Context | None = options.get("context")
        maker = task_maker.get() if context is None else context.get(task_maker)
        if maker is None:
            return factory(loop, coroutine, **options)
        if coroutine not in early:
            for each in _in_order(coroutine):
                make: Callable[[], Any] = partial(factory, loop, each, **options)
                early[each] = maker(make)
        return early.pop(coroutine)

    loop.set_task_factory(made)


def is_ready(task: Task) -> bool:
    """Whether the loop will run the task without anything happening before."""
    future = _waiter(task)
    return not task.done() and (future is None or future.done())


def awaited(task: Task) -> list[Future]:
    """The futures that a task waits for; where one of asyncio's combinators stands between, its parts."""
    future = _waiter(task)
    if future is None:
        return []
    _, names = _innermost(task)
    if isinstance(names.get("self"), asyncio.TaskGroup):
        return list(names["self"]._tasks)  # noqa: SLF001 - no public name
    # A time-out does not count, since no clock runs for a suspended handler.
    if "return_when" in names:
        return [part for each in names["fs"] for part in _parts(each)]
    return list(_parts(names["fut"] if "timeout_handle" in names else future))


def gathers(task: Task) -> int:
    """How many `gather` there are between a task and what it waits for. Each takes a turn of the loop."""
    return _depth(_waiter(task))


def waits_for_peer(task: Task) -> bool:
    """Whether a task waits in a lock or a queue, which other tasks of this process let it pass."""
    module, names = _innermost(task)
    # Libraries wait for the network by events.
    is_event = isinstance(names.get("self"), asyncio.Event)
    return module in {"asyncio.locks", "asyncio.queues"} and not is_event


def failure_of(task: Task) -> BaseException | None:
    """What a task raised. To ask so does not count as taking notice of it."""
    return None if task.cancelled() else task._exception  # noqa: SLF001 - `exception()` takes notice


def _plain(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Task:
    return asyncio.Task(coroutine, loop=loop, **options)


def _in_order(coroutine: Any) -> list[Any]:
    """The coroutines that get tasks together with this one, in the order in which they were listed.

    `as_completed` makes a set of its list, whose order is another one in each replay. The task that starts
    first makes the first call.
    """
    listed = _list_of_as_completed()
    has_order = isinstance(listed, Collection) and not isinstance(listed, set | frozenset)
    if has_order and all(map(_is_awaited_as_it_is, listed)):
        coroutines = [each for each in dict.fromkeys(listed) if asyncio.iscoroutine(each)]
        return coroutines if coroutine in coroutines else [coroutine]
    return [coroutine]


def _list_of_as_completed() -> Any:
    """What it was given, when it is making a task; nothing of it is left when that was a generator."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - quicker than `inspect.stack()`
    for _ in range(_FRAMES_MAX):
        if frame is None:
            break
        if frame.f_code.co_qualname in _AS_COMPLETED and frame.f_globals.get("__name__") == "asyncio.tasks":
            return frame.f_locals.get("fs", frame.f_locals.get("aws"))
        frame = frame.f_back
    return None


def _is_awaited_as_it_is(each: Any) -> bool:
    return asyncio.isfuture(each) or asyncio.iscoroutine(each)


def _waiter(task: Task) -> Future | None:
    # In CPython's C and Python versions alike, since 3.4.
    future: Future | None = task._fut_waiter  # type: ignore[attr-defined] # noqa: SLF001 - as above
    return future


def _parts(future: Future) -> Iterator[Future]:
    """Of a `gather` its parts, of anything else the future itself."""
    children = getattr(future, "_children", None)
    if children is None:
        yield future
    else:
        for child in children:
            yield from _parts(child)


def _depth(future: Future | None) -> int:
    children = getattr(future, "_children", None)
    return 0 if children is None else 1 + max(map(_depth, children), default=0)


def _innermost(task: Task) -> tuple[str, dict[str, Any]]:
    """Module and variables of the function that a task stands in, when it is one of asyncio's."""
    coroutine: Any = task.get_coro()
    while hasattr(inner := getattr(coroutine, "cr_await", None), "cr_frame"):
        coroutine = inner
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None or not (module := str(frame.f_globals.get("__name__"))).startswith("asyncio."):
        return "", {}
    return module, frame.f_locals
