"""Calls of events: the event that a call opens or waits for, its name for others, its deadline."""

from abc import ABC
from collections.abc import Mapping
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

    def _plan_opening(
        self, name: str, deadline: Seconds | None, heartbeat: Seconds | None
    ) -> StepCall[Any]:
        limits = _limits(deadline, heartbeat)
        self._has_left = True
        with self._lock:
            position = self._position(f"event {event_name(name)}")
            self._events.add(OpenedEvent(name, position, limits))
        return self._event_call(name, position, limits)

    def _plan_event(
        self,
        name: str,
        deadline: Seconds | None,
        heartbeat: Seconds | None = None,
        result: Any = None,
        default: Any = NO_DEFAULT,
    ) -> StepCall[Any]:
        given = _limits(deadline, heartbeat)
        with self._lock:
            opened = self._events.take(name, self._scope().path)
            if opened is None:
                opened = OpenedEvent(name, self._position(f"event {event_name(name)}"), given)
        limits = {**given, **opened.limits}
        for limit, ms in given.items():
            if limits[limit] != ms:
                self._refuse(
                    f"event({name!r}): open_event gave it a {limit} of {limits[limit]} ms, counted from "
                    f"there; {ms} ms differs from it. Give the {limit} in one place."
                )
        if default is not NO_DEFAULT and not limits:
            raise InvalidRequestError(f"event({name!r}): a default is for the end of a deadline; give one.")
        step_call = self._event_call(name, opened.position, limits, result)
        # A limit that the event was opened without counts from the first post that has it.
        return replace(step_call, changes_live=limits != opened.limits, default=default)

    def _event_call(
        self, name: str, position: Position, limits: Mapping[str, int], result: Any = None
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
            **limits,
        }
        return self._step_call(name, document, result=UNDECLARED if result is None else value_type(result))


def _limits(deadline: Seconds | None, heartbeat: Seconds | None) -> dict[str, int]:
    """The members of the document for the limits of an event that are given."""
    given = {"deadline": deadline, "heartbeat": heartbeat}
    return {name: milliseconds(name, limit) for name, limit in given.items() if limit is not None}
