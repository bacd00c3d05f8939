"""Calls of events: the event that a call opens or waits for, its name for others, its deadline."""

from abc import ABC
from dataclasses import replace
from typing import Any

from atomic.sdk._calls.context import NO_DEFAULT, BaseContext, StepCall
from atomic.sdk._calls.identity import OpenedEvent, Position, step_key
from atomic.sdk._wire.events import event_name
from atomic.sdk._wire.values import UNDECLARED, value_type
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds


class EventCalls(BaseContext, ABC):
    """What both contexts share for events."""

    def _plan_opening(self, name: str, deadline: Seconds | None) -> StepCall[Any]:
        deadline_ms = None if deadline is None else milliseconds("deadline", deadline)
        self._has_left = True
        with self._lock:
            position = self._position(f"event {event_name(name)}")
            self._events.add(OpenedEvent(name, position, deadline_ms))
        return self._event_call(name, position, deadline_ms)

    def _plan_event(
        self, name: str, deadline: Seconds | None, result: Any = None, default: Any = NO_DEFAULT
    ) -> StepCall[Any]:
        deadline_ms = None if deadline is None else milliseconds("deadline", deadline)
        with self._lock:
            opened = self._events.take(name, self._scope().path)
            if opened is None:
                opened = OpenedEvent(name, self._position(f"event {event_name(name)}"), deadline_ms)
        if opened.deadline_ms is not None and deadline_ms not in {None, opened.deadline_ms}:
            self._refuse(
                f"event({name!r}): open_event gave it a deadline of {opened.deadline_ms} ms, counted from "
                f"there; {deadline_ms} ms differs from it. Give the deadline in one place."
            )
        if default is not NO_DEFAULT and opened.deadline_ms is None and deadline_ms is None:
            raise InvalidRequestError(f"event({name!r}): a default is for the end of a deadline; give one.")
        step_call = self._event_call(name, opened.position, opened.deadline_ms or deadline_ms, result)
        # If the event was opened without a deadline, the deadline counts from the first post that has it.
        changes_live = opened.deadline_ms is None and deadline_ms is not None
        return replace(step_call, changes_live=changes_live, default=default)

    def _event_call(
        self, name: str, position: Position, deadline_ms: int | None, result: Any = None
    ) -> StepCall[Any]:
        """The call of an event. Outside of branches, the name and the run's key alone identify the event.

        Branches ask in any order, so others know the events of branches by their ids only.
        """
        step_name, key = name, step_key(self.idempotency_key, position)
        if not position.path:
            step_name, key = event_name(name, position.number), self.idempotency_key
        document: dict[str, Any] = {
            "workflowName": self.workflow_name,
            "kind": "event",
            "stepName": step_name,
            "idempotencyKey": key,
        }
        if deadline_ms is not None:
            document["deadline"] = deadline_ms
        return self._step_call(name, document, result=UNDECLARED if result is None else value_type(result))
