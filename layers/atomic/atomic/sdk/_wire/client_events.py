"""The methods of both clients for the events of workflows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

from atomic.protocol.documents import EventOutcome, StepOutcome
from atomic.sdk._wire import events
from atomic.sdk._wire.api import Key, act_on_step
from atomic.sdk._wire.base_client import BaseClient
from atomic.sdk._wire.encodings import first_accepted
from atomic.sdk._wire.transport import Flow
from atomic.sdk.errors import NotAnOpenEventError

T = TypeVar("T")


class _Posting(BaseClient, ABC):
    """Posts results of events, which may have been posted before with an older encoding."""

    def _completing(self, step_id: str, result: Any) -> Flow[StepOutcome]:
        return first_accepted(
            self._event_result(result, step_id),
            lambda given: events.complete(self.client_id, step_id, given, self.patience_s),
            NotAnOpenEventError,
        )

    def _signalling(self, event: Mapping[str, Any], result: Any, step_id: str) -> Flow[EventOutcome]:
        return first_accepted(
            self._event_result(result, step_id),
            lambda given: events.post_event(self.client_id, {**event, "result": given}, self.patience_s),
            NotAnOpenEventError,
        )


class EventsOfClient(_Posting, ABC):
    """The methods of `Client` for events: `complete`, `signal`, `reject` and the heartbeats."""

    def complete(self, step_id: str, result: Any = None) -> StepOutcome:
        """Give an event its result. The first result counts; the same call may be repeated.

        - `step_id`: the id of the event, which `open_event` returned or `get` shows.
        - `result`: what `event` returns to the workflow: JSON values, a model, a dataclass (default None).

        Returns the event as it is afterwards.

        Raises `NotAnOpenEventError` for a step that is no event or takes no result any more,
        `SerializationError` for a result without a JSON form, `TooLargeError`, `NotFoundError`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(self._completing(step_id, result))

    def signal(
        self,
        workflow_name: str,
        key: Key,
        name: str,
        result: Any = None,
        *,
        number: int = 1,
        parent: str | None = None,
        next: bool = False,  # noqa: A002 - the word of the API
        id: Key | None = None,  # noqa: A002 - as above
    ) -> EventOutcome:
        """Give an event its result by its name, also before its run exists or waits for it.

        - `workflow_name`, `key`: name and key of the run, as in `start`.
        - `name`: the name that the workflow gives to `event`.
        - `result`: what `event` returns to the workflow: JSON values, a model, a dataclass (default None).
        - `number`: which event of this name it is, where the workflow waits for several (default 1).
        - `parent`: the id of the step whose workflow waits, where that is not the root of the run.
        - `next`: tell the first event of this name that has no result, instead of a `number` (default
          False). The workflow takes such messages in the order in which they arrived.
        - `id`: the id of the message, with `next`, as a str, an int or a UUID: a second call with it
          changes nothing (default: each call is another message).

        Returns the event, with what it `was` before: "open", "early", or "done" by the same result. With
        `next`, its `name` has the number.

        Raises `NotAnOpenEventError` when it (or this `id`) has another result, or its workflow has ended;
        `SerializationError` for a result without a JSON form, `InvalidRequestError`, `TooLargeError`,
        `NotFoundError`, `UnauthorizedError`, `TooManyRequestsError`, `NoAnswerError` or `UnavailableError`.
        """
        address = events.address_of(self.client_id, workflow_name, key, name, number, parent)
        message = events.message_members(number, id, is_next=next)
        known = parent or self._root_id(workflow_name, key)
        return self.run_flow(self._signalling({**address, **message}, result, known))

    def reject(
        self,
        workflow_name: str,
        key: Key,
        name: str,
        detail: str,
        *,
        more: Any = None,
        number: int = 1,
        parent: str | None = None,
    ) -> EventOutcome:
        """Reject an event by its name: `event` raises `EventRejectedError` in the workflow.

        - `workflow_name`, `key`, `name`, `number`, `parent`: which event, as in `signal`.
        - `detail`: why, for people.
        - `more`: further members for programs, which the error has in `response` (default None).

        Returns the event, with what it `was` before. Raises the errors of `signal`.
        """
        address = events.address_of(self.client_id, workflow_name, key, name, number, parent)
        given = {**address, "reject": events.rejection(detail, more)}
        return self.run_flow(events.post_event(self.client_id, given, self.patience_s))

    def heartbeat(
        self, workflow_name: str, key: Key, name: str, *, number: int = 1, parent: str | None = None
    ) -> EventOutcome:
        """Say that somebody is at work on an open event, so that it does not expire.

        - `workflow_name`, `key`, `name`, `number`, `parent`: which event, as in `signal`.

        Returns the event.

        Raises `NotAnOpenEventError` when its result is not needed any more (stop the work then),
        `InvalidRequestError`, `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        address = events.address_of(self.client_id, workflow_name, key, name, number, parent)
        given = {**address, "heartbeat": True}
        return self.run_flow(events.post_event(self.client_id, given, self.patience_s))

    def heartbeat_step(self, step_id: str) -> StepOutcome:
        """Say that somebody is at work on an open event, by its id, so that it does not expire.

        - `step_id`: the id of the event, which `open_event` returned or `get` shows.

        Returns the event.

        Raises `NotAnOpenEventError` when its result is not needed any more (stop the work then),
        `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return self.run_flow(act_on_step(self.client_id, "heartbeat", step_id, self.patience_s))

    @abstractmethod
    def run_flow(self, flow: Flow[T]) -> T: ...


class EventsOfAsyncClient(_Posting, ABC):
    """The same methods of `AsyncClient`."""

    async def complete(self, step_id: str, result: Any = None) -> StepOutcome:
        """Give an event its result. The first result counts; the same call may be repeated.

        - `step_id`: the id of the event, which `open_event` returned or `get` shows.
        - `result`: what `event` returns to the workflow: JSON values, a model, a dataclass (default None).

        Returns the event as it is afterwards.

        Raises `NotAnOpenEventError` for a step that is no event or takes no result any more,
        `SerializationError` for a result without a JSON form, `TooLargeError`, `NotFoundError`,
        `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(self._completing(step_id, result))

    async def signal(
        self,
        workflow_name: str,
        key: Key,
        name: str,
        result: Any = None,
        *,
        number: int = 1,
        parent: str | None = None,
        next: bool = False,  # noqa: A002 - the word of the API
        id: Key | None = None,  # noqa: A002 - as above
    ) -> EventOutcome:
        """Give an event its result by its name, also before its run exists or waits for it.

        - `workflow_name`, `key`: name and key of the run, as in `start`.
        - `name`: the name that the workflow gives to `event`.
        - `result`: what `event` returns to the workflow: JSON values, a model, a dataclass (default None).
        - `number`: which event of this name it is, where the workflow waits for several (default 1).
        - `parent`: the id of the step whose workflow waits, where that is not the root of the run.
        - `next`: tell the first event of this name that has no result, instead of a `number` (default
          False). The workflow takes such messages in the order in which they arrived.
        - `id`: the id of the message, with `next`, as a str, an int or a UUID: a second call with it
          changes nothing (default: each call is another message).

        Returns the event, with what it `was` before: "open", "early", or "done" by the same result. With
        `next`, its `name` has the number.

        Raises `NotAnOpenEventError` when it (or this `id`) has another result, or its workflow has ended;
        `SerializationError` for a result without a JSON form, `InvalidRequestError`, `TooLargeError`,
        `NotFoundError`, `UnauthorizedError`, `TooManyRequestsError`, `NoAnswerError` or `UnavailableError`.
        """
        address = events.address_of(self.client_id, workflow_name, key, name, number, parent)
        message = events.message_members(number, id, is_next=next)
        known = parent or self._root_id(workflow_name, key)
        return await self.run_flow(self._signalling({**address, **message}, result, known))

    async def reject(
        self,
        workflow_name: str,
        key: Key,
        name: str,
        detail: str,
        *,
        more: Any = None,
        number: int = 1,
        parent: str | None = None,
    ) -> EventOutcome:
        """Reject an event by its name: `event` raises `EventRejectedError` in the workflow.

        - `workflow_name`, `key`, `name`, `number`, `parent`: which event, as in `signal`.
        - `detail`: why, for people.
        - `more`: further members for programs, which the error has in `response` (default None).

        Returns the event, with what it `was` before. Raises the errors of `signal`.
        """
        address = events.address_of(self.client_id, workflow_name, key, name, number, parent)
        given = {**address, "reject": events.rejection(detail, more)}
        return await self.run_flow(events.post_event(self.client_id, given, self.patience_s))

    async def heartbeat(
        self, workflow_name: str, key: Key, name: str, *, number: int = 1, parent: str | None = None
    ) -> EventOutcome:
        """Say that somebody is at work on an open event, so that it does not expire.

        - `workflow_name`, `key`, `name`, `number`, `parent`: which event, as in `signal`.

        Returns the event.

        Raises `NotAnOpenEventError` when its result is not needed any more (stop the work then),
        `InvalidRequestError`, `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        address = events.address_of(self.client_id, workflow_name, key, name, number, parent)
        given = {**address, "heartbeat": True}
        return await self.run_flow(events.post_event(self.client_id, given, self.patience_s))

    async def heartbeat_step(self, step_id: str) -> StepOutcome:
        """Say that somebody is at work on an open event, by its id, so that it does not expire.

        - `step_id`: the id of the event, which `open_event` returned or `get` shows.

        Returns the event.

        Raises `NotAnOpenEventError` when its result is not needed any more (stop the work then),
        `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(act_on_step(self.client_id, "heartbeat", step_id, self.patience_s))

    @abstractmethod
    async def run_flow(self, flow: Flow[T]) -> T: ...
