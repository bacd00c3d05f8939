"""Callbacks: a step hands the URL of an event to a third party, and the handler waits for the result.

What both kinds of handlers do is written once, as in `recorded`. A later attempt finds the event and the
step among its results. So it posts neither again, and the URL is the one that was handed out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from atomic.sdk._calls.call import Call
from atomic.sdk._calls.context import StepCall
from atomic.sdk._calls.events import EventCalls
from atomic.sdk._calls.identity import Scope
from atomic.sdk._wire.events import EventId
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds

# A step that takes the URL, or a function of the URL that calls one. A step may take its `Call`, too.
Submit = str | Callable[[str], Any] | Callable[[str, Call], Any]


@dataclass(frozen=True, slots=True)
class CallbackCall:
    """A callback: its event, what hands out the URL, and the scope of the step for that."""

    event: StepCall[Any]
    submit: Submit
    scope: Scope

    @property
    def title(self) -> str:
        """The name of the call, for people."""
        return f"callback {self.event.name!r}"


class CallbackCalls(EventCalls, ABC):
    """What both contexts share for callbacks."""

    def _planned_callback(
        self,
        name: str,
        submit: Submit,
        limits: tuple[Seconds | None, Seconds | None],
        capture: Sequence[str],
        result: Any,
        default: Any,
    ) -> CallbackCall:
        if not (isinstance(submit, str) or callable(submit)):
            raise InvalidRequestError(
                f"submit: give a step, or a function of the URL that calls one, not {submit!r}."
            )
        event = self._plan_callback(name, limits, capture, result, default)
        return CallbackCall(event, submit, self._scope_of("callback", name))

    async def _call_back(self, callback: CallbackCall) -> Any:
        opened = await self._open_event(callback.event)
        submit = callback.submit
        if isinstance(submit, str) or self._serves(submit):
            step_call = self._plan(submit, opened.url, {}, None, callback.scope)
            step_call.result_of(await self._settle(step_call))
        else:
            await self._call_function(partial(submit, opened.url))
        return callback.event.result_of(await self._settle(callback.event))

    @abstractmethod
    async def _open_event(self, step_call: StepCall[Any]) -> EventId: ...
