"""Runs that workflows start as plain Python. A run is made where it is started, and its outcome is kept."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

# How often a task lets others go on before it is clear that they wait for it.
_TURNS_MAX: Final = 10_000


class GoesOn(BaseException):
    """A workflow goes on as another run with this payload."""

    def __init__(self, payload: Any) -> None:
        super().__init__(payload)
        self.payload = payload


class Ended:
    """The outcome of a run."""

    def __init__(self, result: Any = None, error: Exception | None = None) -> None:
        self._result = result
        self._error = error

    def result(self) -> Any:
        """What the run returned. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result


class Awaited:
    """The handle of a run in an `async def` handler."""

    def __init__(self, ended: Ended) -> None:
        self._ended = ended

    async def result(self) -> Any:
        """What the run returned. Raises what it raised."""
        await asyncio.sleep(0)
        return self._ended.result()


class Runs:
    """The runs of one program, by workflow and key. None: it has begun."""

    def __init__(self) -> None:
        self.refused = ""
        self._ended: dict[tuple[object, str], Ended | None] = {}

    def take(self, workflow: object, key: str | None) -> tuple[bool, Ended | None]:
        """Whether the run exists, and its outcome. If it does not, it begins."""
        if key is None:
            return False, None
        if (workflow, key) in self._ended:
            return True, self._ended[workflow, key]
        self._ended[workflow, key] = None
        return False, None

    def end(self, workflow: object, key: str | None, ended: Ended) -> Ended:
        """Keep the outcome of a run."""
        if key is not None:
            self._ended[workflow, key] = ended
        return ended

    def cannot_wait(self) -> None:
        """The program is not played: a run waits for another one that cannot go on."""
        self.refused = "a run that is shared by those who wait for each other"


class Caller(Protocol):
    """A context, as the runs that it starts see it."""

    world: Any

    def begin_run(self, function: Callable[..., Any], payload: Any) -> Any: ...


def play_run(caller: Caller, function: Callable[..., Any], payload: Any, key: str | None) -> Ended:
    """Play a run to its end, unless that was done before."""
    exists, ended = caller.world.runs.take(function, key)
    if exists:
        if ended is None:
            caller.world.runs.cannot_wait()
            raise RuntimeError
        return ended
    try:
        with caller.world.failures():
            while True:
                try:
                    return caller.world.runs.end(function, key, Ended(caller.begin_run(function, payload)))
                except GoesOn as goes_on:
                    payload = goes_on.payload
    except Exception as error:
        return caller.world.runs.end(function, key, Ended(error=error))


async def await_run(caller: Caller, function: Callable[..., Any], payload: Any, key: str | None) -> Ended:
    """The same for `async def`."""
    exists, ended = caller.world.runs.take(function, key)
    for _ in range(_TURNS_MAX):
        if not exists or ended is not None:
            break
        await asyncio.sleep(0)
        _, ended = caller.world.runs.take(function, key)
    if exists:
        if ended is None:
            caller.world.runs.cannot_wait()
            raise RuntimeError
        return ended
    try:
        with caller.world.failures():
            while True:
                try:
                    result = await caller.begin_run(function, payload)
                    return caller.world.runs.end(function, key, Ended(result))
                except GoesOn as goes_on:
                    payload = goes_on.payload
    except Exception as error:
        return caller.world.runs.end(function, key, Ended(error=error))
