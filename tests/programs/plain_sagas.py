"""Sagas as plain Python: what a block has called is undone in reverse order if the block raises."""

from collections.abc import Callable
from inspect import isawaitable
from types import TracebackType
from typing import Any, Final, Protocol

from atomic.sdk import RetryAfter, SagaFailedError
from programs.plain_calls import sent

_SAME: Final[Any] = object()


class Caller(Protocol):
    """A context, as its sagas see it. What its methods return may have to be awaited."""

    def step(self, function: Callable[..., Any], payload: Any = None, **options: Any) -> Any: ...
    def run(self, name: str, function: Callable[[], Any]) -> Any: ...
    def serves(self, function: Callable[..., Any]) -> bool: ...
    def undone(self, saga: str) -> None: ...


class PlainSaga:
    """The plain equivalent of `Saga` and of `AsyncSaga`."""

    def __init__(self, context: Caller, name: str = "saga", *, retry: int = 1000) -> None:
        self._context = context
        self._name = name
        self._retry = retry
        self._noted: list[Callable[[], Any]] = []

    def __enter__(self) -> "PlainSaga":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, raised: BaseException | None, _trace: TracebackType | None
    ) -> None:
        sent(self._end(raised))

    async def __aenter__(self) -> "PlainSaga":
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, raised: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._end(raised)

    def step(
        self,
        function: Callable[..., Any],
        payload: Any = None,
        *,
        undo: Callable[..., Any],
        undo_payload: Any = _SAME,
        **options: Any,
    ) -> Any:
        """Call the step, and note its undo."""
        name = options.get("name", function.__name__)
        self._note(undo, payload if undo_payload is _SAME else undo_payload, name)
        return self._context.step(function, payload, **options)

    def run(
        self, name: str, function: Callable[[], Any], *, undo: Callable[..., Any], undo_payload: Any = None
    ) -> Any:
        """Compute a value, and note its undo."""
        self._note(undo, undo_payload, name)
        return self._context.run(name, function)

    def undo(self, undo: Callable[..., Any], payload: Any = None, **options: Any) -> None:
        """Note an undo."""
        self._note(undo, payload, undo.__name__, options)

    def _note(
        self, undo: Callable[..., Any], payload: Any, name: str, options: dict[str, Any] | None = None
    ) -> None:
        if self._context.serves(undo):
            own = {"retry": self._retry, "name": f"undo {name}", **(options or {})}
            self._noted.append(lambda: self._context.step(undo, payload, **own))
        else:
            self._noted.append(undo)

    async def _end(self, raised: BaseException | None) -> None:
        if isinstance(raised, RetryAfter) or not isinstance(raised, Exception):
            return
        self._context.undone(self._name)
        errors = []
        for undo in reversed(self._noted):
            try:
                made = undo()
                if isawaitable(made):
                    await made
            except Exception as error:
                errors.append(error)
        if errors:
            because = f"{type(raised).__name__}: {raised}"
            detail = f"{self._name} was undone: {because}."
            raise SagaFailedError(detail, because=because, errors=errors) from raised
