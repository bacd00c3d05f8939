"""Runs a program as plain Python: functions that call each other."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from inspect import iscoroutine
from typing import Any, Final, NoReturn
from uuid import UUID, uuid4

from atomic.sdk import StepFailedError
from atomic.sdk.retry import milliseconds
from programs.language import ENTRY, Program
from programs.ledger import Effect, Ledger, keep
from programs.library import STEPS, ask, reason
from programs.outcome import LASTING, UNSURE, Outcome, ended_with, failed
from programs.plain_batches import Batch, arguments, batch, checks, gathered, own, winner
from programs.plain_calls import run_step
from programs.plain_events import END, NO_DEFAULT, Events
from programs.plain_runs import Awaited, Ended, GoesOn, Runs, await_run, play_run
from programs.plain_sagas import PlainSaga
from programs.script import LASTS_S

# A program with more calls than this is not used.
CALLS_MAX: Final = 40
_ATTEMPTS: Final = 4


class NotPlayed(Exception):
    """The program makes too many calls, or uses an undefined name."""


def run_plainly(program: Program) -> tuple[Outcome, float]:
    """The outcome, and the longest time that it waits, in seconds. Raises NotPlayed."""
    names = load(program)
    world = _World({names[function.name]: function.is_async for function in program.functions})
    try:
        end = ended_with(play_run(PlainContext(world), names[ENTRY], program.payload, None).result())
    except StepFailedError as error:
        end = failed(error)
    except Exception as wrong:
        raise NotPlayed(str(wrong)) from wrong
    # Programs catch every exception, including this one.
    if refused := world.refused or world.runs.refused:
        raise NotPlayed(refused)
    world.done.count(world.ledger.subscription, world.handler_of)
    return Outcome(end, world.done), world.waited_s + (LASTS_S if LASTING in names else 0)


def load(program: Program) -> dict[str, Any]:
    """Execute the program as a module; return its names. Raises NotPlayed."""
    names: dict[str, Any] = {"__name__": "program"}
    try:
        exec(compile(program.source, "<program>", "exec"), names)
    except SyntaxError as wrong:
        raise NotPlayed(str(wrong)) from wrong
    return names


class _World(Events):
    """The state that the contexts of one program share."""

    def __init__(self, workflows: dict[Callable[..., Any], bool]) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.runs = Runs()
        self._workflows = workflows
        self._serial = itertools.count(1)
        # By the key of a step, the context that called it.
        self._callers: dict[str, object] = {}
        self._versions: dict[tuple[object, str], int] = {}
        keep(self.ledger)

    def begin(
        self, caller: object, function: Callable[..., Any], payload: Any, options: dict[str, Any]
    ) -> Any:
        """Call a step or a workflow; return its result, which may be awaitable."""
        number = next(self._serial)
        if number > CALLS_MAX:
            self.refused = f"more than {CALLS_MAX} calls"
            raise NotPlayed
        self.asked += function is ask
        if "name" in options and function.__name__ not in UNSURE:
            self.done.waits[f"step {options['name']}"] += 1
        if function in STEPS:
            self._callers[str(number)] = caller
            return run_step(function, payload, str(number), options.get("retry", _ATTEMPTS))
        context = PlainAsyncContext(self) if self._workflows[function] else PlainContext(self)
        return function(context, payload)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn any failure of a step into the one error that its caller gets."""
        try:
            yield
        except (AttributeError, NameError, TypeError) as wrong:
            self.refused = str(wrong)
            raise
        except Exception as error:
            raise StepFailedError(reason(error)) from error

    def sleep(self, seconds: float, name: str) -> None:
        """Wait."""
        self.waited_s += seconds
        if name != LASTING:
            self.done.waits[f"timer {milliseconds('delay', seconds)} {name}"] += 1

    def link(self, function: Callable[..., Any]) -> None:
        """A handler starts a run, or finds it."""
        self.done.waits[f"run {function.__name__}"] += 1

    def value(self, name: str) -> None:
        """A value is kept."""
        self.done.waits[f"value {name}"] += 1

    def version(self, owner: object, name: str, newest: int) -> int:
        """The newest one: no run is older than its program. All calls of one name share it."""
        if (owner, name) not in self._versions:
            self._versions[owner, name] = newest
            self.value(f"version {name}")
        return self._versions[owner, name]

    def serves(self, function: Callable[..., Any]) -> bool:
        """Whether this is a step or a workflow."""
        return function in STEPS or function in self._workflows

    def undone(self, saga: str) -> None:
        """A saga has begun to undo."""
        self.value(f"undo of {saga}")

    def handler_of(self, effect: Effect) -> object:
        """The context whose handler called the step of an effect."""
        return self._callers[effect.key]


class PlainContext:
    """The plain equivalent of `Context`."""

    def __init__(self, world: _World) -> None:
        self.world = world
        self.serves, self.undone = world.serves, world.undone
        # No call is the first attempt: nothing is held up.
        self.attempt = 0
        self.step_id = f"step-{id(self)}"
        # The branch that runs.
        self._branch: object = None

    def step(self, function: Callable[..., Any], payload: Any = None, **options: Any) -> Any:
        """Call the step."""
        with self.world.failures():
            outcome = self.world.begin(self, function, payload, options)
            return _run_to_its_end(outcome) if iscoroutine(outcome) else outcome

    def call(self, function: Callable[..., Any], payload: Any = None, **options: Any) -> Callable[[], Any]:
        """Describe a call for `parallel`."""
        return lambda: self.step(function, payload, **options)

    def begin_run(self, function: Callable[..., Any], payload: Any) -> Any:
        """Call a workflow as a run."""
        outcome = self.world.begin(self, function, payload, {})
        return _run_to_its_end(outcome) if iscoroutine(outcome) else outcome

    def start_run(
        self, function: Callable[..., Any], payload: Any, *, key: str | None = None, **_options: Any
    ) -> Ended:
        """Start a run."""
        self.world.link(function)
        return play_run(self, function, payload, key)

    def run_workflow(self, function: Callable[..., Any], payload: Any, **options: Any) -> Any:
        """Start a run, and wait for it."""
        return self.start_run(function, payload, **options).result()

    def call_workflow(self, function: Callable[..., Any], payload: Any, **options: Any) -> Any:
        """Describe a run for `parallel`."""
        return lambda: self.run_workflow(function, payload, **options)

    def continue_as(self, payload: Any) -> NoReturn:
        """Go on as another run."""
        raise GoesOn(payload)

    def parallel(self, calls: Iterable[Callable[[], Any]], **policy: Any) -> Batch:
        """Make the calls one after another."""
        made = list(calls)
        run, answer = batch(len(made), **policy), None
        while True:
            try:
                index = run.send(answer)
            except StopIteration as end:
                found: Batch = end.value
                return found
            answer = self._outcome(made[index])

    def _outcome(self, call: Callable[[], Any]) -> Any:
        """The outcome of a call, which is a branch of its own."""
        outer, self._branch = self._branch, object()
        try:
            return call()
        except Exception as error:
            return error
        finally:
            self._branch = outer

    def map(
        self, items: Iterable[Any], function: Callable[..., Any], *, key: Any = None, **options: Any
    ) -> Batch:
        """Call the step for each item."""
        calls = [partial(self.step, function, item, **own(options)) for item in items]
        return self.parallel(calls, **options)

    def gather(self, *calls: Callable[[], Any], return_exceptions: bool = False) -> list[Any]:
        """The results in order."""
        return gathered(self.parallel(calls), return_exceptions)

    def race(self, calls: Mapping[str, Callable[[], Any]]) -> tuple[str, Any]:
        """Make the call that wins."""
        name = winner(calls)
        return name, self.gather(calls[name])[0]

    def until(self, check: Callable[..., Any], payload: Any = None, **options: Any) -> Any:
        """Repeat the check."""
        run, answer = checks(payload, **options), None
        while True:
            try:
                kind, given = run.send(answer)
            except StopIteration as end:
                return end.value
            answer = self.sleep(given) if kind == "pause" else self._checked(check, given)

    def _checked(self, check: Callable[..., Any], payload: Any) -> Any:
        if check in STEPS:
            return self.step(check, payload)
        return self.run(check.__name__, partial(check, *arguments(payload)))

    def sleep(self, seconds: float, *, name: str = "sleep") -> None:
        """Wait."""
        self.world.sleep(seconds, name)

    def run(self, name: str, function: Callable[[], Any], *, returns: Any = None) -> Any:
        """Compute a value."""
        self.world.value(name)
        return function()

    def now(self) -> datetime:
        """The time."""
        return self.run("now", partial(datetime.now, UTC))

    def uuid(self) -> UUID:
        """A random one."""
        return self.run("uuid", uuid4)

    def random(self) -> float:
        """A number."""
        return self.run("random", random.random)

    def version(self, name: str, newest: int) -> int:
        """The newest one."""
        return self.world.version(self, name, newest)

    def event(self, name: str, *, deadline: float | None = None, default: Any = NO_DEFAULT) -> Any:
        """Wait for an answer."""
        return self.world.wait(name, self.world.take((self, self._branch), name), deadline, default)

    def events(self, name: str, *, deadline: float | None = None) -> Iterator[Any]:
        """Wait for one answer after the other."""
        default = NO_DEFAULT if deadline is None else END
        while (result := self.event(name, deadline=deadline, default=default)) is not END:
            yield result

    def callback(
        self,
        name: str,
        *,
        submit: Callable[[str], Any],
        deadline: float | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Let a step pass on a URL, and wait for the answer to it."""
        self.world.open((self, name), name)
        if self.serves(submit):
            self.step(submit, name)
        else:
            submit(name)
        return self.world.wait(name, (1, True), deadline, default)

    def saga(self, name: str = "saga", *, retry: int = 1000) -> PlainSaga:
        """Undo what a block has called if it raises."""
        return PlainSaga(self, name, retry=retry)

    def open_event(self, name: str, *, deadline: float | None = None) -> str:
        """Open the event."""
        return self.world.open((self, self._branch), name)


class PlainAsyncContext:
    """The plain equivalent of `AsyncContext`: every call lets other tasks run."""

    def __init__(self, world: _World) -> None:
        self.world = world
        self.serves, self.undone = world.serves, world.undone
        # No call is the first attempt: nothing is held up.
        self.attempt = 0
        self.step_id = f"step-{id(self)}"

    async def step(self, function: Callable[..., Any], payload: Any = None, **options: Any) -> Any:
        """Call the step."""
        await asyncio.sleep(0)
        with self.world.failures():
            outcome = self.world.begin(self, function, payload, options)
            return await outcome if iscoroutine(outcome) else outcome

    async def begin_run(self, function: Callable[..., Any], payload: Any) -> Any:
        """Call a workflow as a run."""
        outcome = self.world.begin(self, function, payload, {})
        return await outcome if iscoroutine(outcome) else outcome

    async def start_run(
        self, function: Callable[..., Any], payload: Any, *, key: str | None = None, **_options: Any
    ) -> Awaited:
        """Start a run."""
        await asyncio.sleep(0)
        self.world.link(function)
        return Awaited(await await_run(self, function, payload, key))

    async def run_workflow(self, function: Callable[..., Any], payload: Any, **options: Any) -> Any:
        """Start a run, and wait for it."""
        return await (await self.start_run(function, payload, **options)).result()

    async def continue_as(self, payload: Any) -> NoReturn:
        """Go on as another run."""
        raise GoesOn(payload)

    async def parallel(self, calls: Iterable[Awaitable[Any]], **policy: Any) -> Batch:
        """Make the calls one after another."""
        left = list(calls)
        run, answer = batch(len(left), **policy), None
        try:
            while True:
                run.send(answer)
                [answer] = await asyncio.gather(left.pop(0), return_exceptions=True)
        except StopIteration as end:
            found: Batch = end.value
            return found
        finally:
            for call in left:
                _close(call)

    async def map(
        self, items: Iterable[Any], function: Callable[..., Any], *, key: Any = None, **options: Any
    ) -> Batch:
        """Call the step for each item."""
        return await self.parallel([self.step(function, item, **own(options)) for item in items], **options)

    async def gather(self, *calls: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
        """The results in order."""
        return gathered(await self.parallel(calls), return_exceptions)

    async def race(self, calls: Mapping[str, Awaitable[Any]]) -> tuple[str, Any]:
        """Make the call that wins."""
        name = winner(calls)
        for other, call in calls.items():
            if other != name:
                _close(call)
        return name, (await self.gather(calls[name]))[0]

    async def until(self, check: Callable[..., Any], payload: Any = None, **options: Any) -> Any:
        """Repeat the check."""
        run, answer = checks(payload, **options), None
        while True:
            try:
                kind, given = run.send(answer)
            except StopIteration as end:
                return end.value
            answer = await (self.sleep(given) if kind == "pause" else self._checked(check, given))

    def _checked(self, check: Callable[..., Any], payload: Any) -> Awaitable[Any]:
        if check in STEPS:
            return self.step(check, payload)
        return self.run(check.__name__, partial(check, *arguments(payload)))

    async def sleep(self, seconds: float, *, name: str = "sleep") -> None:
        """Wait."""
        await asyncio.sleep(0)
        self.world.sleep(seconds, name)

    async def run(self, name: str, function: Callable[[], Any], *, returns: Any = None) -> Any:
        """Compute a value."""
        await asyncio.sleep(0)
        self.world.value(name)
        outcome = function()
        return await outcome if iscoroutine(outcome) else outcome

    async def now(self) -> datetime:
        """The time."""
        return await self.run("now", partial(datetime.now, UTC))

    async def uuid(self) -> UUID:
        """A random one."""
        return await self.run("uuid", uuid4)

    async def random(self) -> float:
        """A number."""
        return await self.run("random", random.random)

    async def version(self, name: str, newest: int) -> int:
        """The newest one."""
        await asyncio.sleep(0)
        return self.world.version(self, name, newest)

    def event(
        self, name: str, *, deadline: float | None = None, default: Any = NO_DEFAULT
    ) -> Coroutine[Any, Any, Any]:
        """Wait for an answer. The call decides which event it is, not the task that awaits it."""
        taken = self.world.take((self, asyncio.current_task()), name)

        async def wait() -> Any:
            await asyncio.sleep(0)
            return self.world.wait(name, taken, deadline, default)

        return wait()

    async def events(self, name: str, *, deadline: float | None = None) -> AsyncIterator[Any]:
        """Wait for one answer after the other."""
        default = NO_DEFAULT if deadline is None else END
        while (result := await self.event(name, deadline=deadline, default=default)) is not END:
            yield result

    async def callback(
        self,
        name: str,
        *,
        submit: Callable[[str], Any],
        deadline: float | None = None,
        default: Any = NO_DEFAULT,
    ) -> Any:
        """Let a step pass on a URL, and wait for the answer to it."""
        self.world.open((self, name), name)
        await (self.step(submit, name) if self.serves(submit) else submit(name))
        return self.world.wait(name, (1, True), deadline, default)

    def saga(self, name: str = "saga", *, retry: int = 1000) -> PlainSaga:
        """Undo what a block has called if it raises."""
        return PlainSaga(self, name, retry=retry)

    async def open_event(self, name: str, *, deadline: float | None = None) -> str:
        """Open the event."""
        await asyncio.sleep(0)
        return self.world.open((self, asyncio.current_task()), name)


def _close(call: Awaitable[Any]) -> None:
    """Do not make a call, and what it would have called."""
    assert iscoroutine(call)
    call.close()


def _run_to_its_end(workflow: Coroutine[Any, Any, Any]) -> Any:
    """The result of an `async def` workflow. It runs in a new thread, because this one may have a loop."""

    def run() -> Any:
        with asyncio.Runner(loop_factory=_quiet_loop) as runner:
            return runner.run(workflow)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


def _quiet_loop() -> asyncio.AbstractEventLoop:
    """An event loop that does not log unretrieved errors of tasks."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    return loop
