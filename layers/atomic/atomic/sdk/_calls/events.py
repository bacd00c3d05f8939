"""Calls of events: the event that a call opens or waits for, its name for others, its deadline."""

from abc import ABC
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from atomic.sdk._calls.context import NO_DEFAULT, StepCall
from atomic.sdk._calls.identity import OpenedEvent, Position, step_key
from atomic.sdk._calls.recorded import RecordingContext
from atomic.sdk._calls.results import Results
from atomic.sdk._wire.events import EventId, event_name
from atomic.sdk._wire.transport import members
from atomic.sdk._wire.values import UNDECLARED, value_type
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds


class EventCalls(RecordingContext, ABC):
    """What both contexts share for events."""

    def _plan_opening(
        self,
        name: str,
        deadline: Seconds | None,
        heartbeat: Seconds | None,
        capture: Sequence[str] = (),
    ) -> StepCall[Any]:
        with self._lock:
            opened = self._new_event(name, _limits(deadline, heartbeat))
            self._events.add(opened)
        self._has_left = True
        return _capturing(self._event_call(name, opened.position, opened.limits), capture)

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
            opened = self._events.take(name, self._scope().path) or self._new_event(name, given)
        limits = {**given, **opened.limits}
        for limit, ms in given.items():
            if limits[limit] != ms:
                self._refuse(
                    f"event({name!r}): open_event gave it a {limit} of {limits[limit]} ms, counted from "
                    f"there; {ms} ms differs from it. Give the {limit} in one place."
                )
        _check_default(name, default, limits)
        step_call = self._event_call(name, opened.position, limits, result)
        # A limit that the event was opened without counts from the first post that has it.
        return replace(step_call, changes_live=limits != opened.limits, default=default)

    def _plan_callback(
        self,
        name: str,
        limits: tuple[Seconds | None, Seconds | None],
        capture: Sequence[str],
        result: Any,
        default: Any,
    ) -> StepCall[Any]:
        """The event of a callback. No other call of `event` takes it."""
        given = _limits(*limits)
        _check_default(name, default, given)
        opened = self._new_event(name, given)
        self._has_left = True
        step_call = replace(self._event_call(name, opened.position, given, result), default=default)
        return _capturing(step_call, capture)

    def _new_event(self, name: str, limits: Mapping[str, int]) -> OpenedEvent:
        return OpenedEvent(name, self._position(f"event {event_name(name)}"), limits)

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

    async def _opened(self, step_call: StepCall[Any]) -> EventId:
        """The id of an event, which is posted unless an earlier attempt is known to have opened it."""
        known = await self._known()
        with self._observed_opening(step_call, known), self._called(step_call):
            await self._tell_if_cancelled(step_call)
            step_id, url = step_call.id, known.callback_url(step_call.id, is_told=self.cancelled)
            if url is None:
                answer = await self._send(self._beginning(step_call))
                [step_id, url] = members(answer, "id", optional=("callbackUrl",))
        # A URL without its server is of the server that the handler posts to.
        server = self._client.connection.url if url and url.startswith("/") else ""
        return EventId(step_id, f"{server}{url or ''}")

    def _observed_opening(self, step_call: StepCall[Any], known: Results) -> AbstractContextManager[None]:
        """Wrap the opening of an event, which is a call of its own."""
        if not self._observers:
            return nullcontext()
        return self._observers.around("operation", self._operation(step_call, known))


def _capturing(step_call: StepCall[Any], capture: Sequence[str]) -> StepCall[Any]:
    if not capture:
        return step_call
    if isinstance(capture, str):
        raise InvalidRequestError(f"capture: give a list of names of headers, not {capture!r}.")
    return replace(step_call, document={**step_call.document, "capture": list(capture)})


def _check_default(name: str, default: Any, limits: Mapping[str, int]) -> None:
    if default is not NO_DEFAULT and not limits:
        raise InvalidRequestError(f"event({name!r}): a default is for the end of a deadline; give one.")


def _limits(deadline: Seconds | None, heartbeat: Seconds | None) -> dict[str, int]:
    """The members of the document for the limits of an event that are given."""
    given = {"deadline": deadline, "heartbeat": heartbeat}
    return {name: milliseconds(name, limit) for name, limit in given.items() if limit is not None}
