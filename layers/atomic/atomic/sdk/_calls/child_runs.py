"""Runs of their own that a handler starts: the step that links to such a run, and the run that goes on.

A link is a step of the handler, and takes over the outcome of its run. So a replay gets the outcome from
the results of the handler, and starts nothing again.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypedDict, TypeVar

from atomic.protocol import keys
from atomic.protocol.constants import KEY_MAX_CHARS, NAME_MAX_CHARS
from atomic.protocol.enums import OnCancel, OnLost
from atomic.sdk._calls.batching import POSTED_WITHIN_S, BatchingContext
from atomic.sdk._calls.call import joined_url
from atomic.sdk._calls.context import Step, StepCall
from atomic.sdk._calls.identity import name_text, step_key
from atomic.sdk._wire.answers import ContinuedAs
from atomic.sdk._wire.api import (
    Key,
    Outcome,
    StepOptions,
    check_options,
    key_text,
    start_document,
)
from atomic.sdk._wire.start_options import members_of_root
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.values import jsonable, value_type
from atomic.sdk.errors import CancelledError, InvalidRequestError, StepCancelledError
from atomic.sdk.flow import Flow
from atomic.sdk.retry import Retry, Seconds
from atomic.sdk.singles import Debounce, Singleton

T = TypeVar("T")
_OF_STEPS: Final = frozenset(StepOptions.__annotations__)
# The end of a key that `continue_as` has made.
_NUMBERED: Final = re.compile(r"/([0-9]+)$")


class RunOptions(TypedDict, total=False):
    """Options of a run that a handler starts. Durations are seconds or timedeltas."""

    workflow_name: str
    key: Key | None
    name: str | None
    on_cancel: OnCancel
    retry: Retry | int
    delay: Seconds
    start_at: datetime
    start_by: datetime | Seconds
    deadline: Seconds
    attempt_timeout: Seconds
    on_lost: OnLost
    flow: Flow | Sequence[Flow]
    singleton: Singleton
    debounce: Debounce
    tags: Mapping[str, str]


class ChildRuns(BatchingContext, ABC):
    """What both contexts share for runs that a handler starts."""

    def _plan_run(
        self,
        workflow: Step,
        payload: Any,
        options: RunOptions,
        result: Any = None,
        *,
        detached: bool = False,
    ) -> StepCall[Any]:
        """The link to a run. Without a key, the run gets one that is made of the link's identity."""
        check_options(options, RunOptions)
        known, returns, written = self._written(workflow, payload)
        workflow_name = options.get("workflow_name") or known
        if isinstance(workflow, str) and not options.get("workflow_name"):
            raise InvalidRequestError(f"workflow_name: say how the run of {workflow!r} is named in lists.")
        name, label = name_text(options.get("name")), self._label()
        if label:
            name = f"{label}: {name or workflow_name}"[:NAME_MAX_CHARS]
        key = None if (given := options.get("key")) is None else key_text(given)
        position = self._position(f"run {workflow_name} {name}", key)
        own_key = step_key(self.idempotency_key, position)
        if key is None:
            identity = keys.identity(
                self._client.client_id, self.workflow_name, self.step_id, workflow_name, name, own_key
            )
            key = keys.scoped_key(self.idempotency_key, identity)
        of_steps: Any = {each: option for each, option in options.items() if each in _OF_STEPS}
        document = start_document(
            self.workflow_name, joined_url(self._call.url, known), written, key=own_key, options=of_steps
        )
        document |= members_of_root(options)
        document |= {"kind": "run", "run": {"workflowName": workflow_name, "idempotencyKey": key}}
        if name:
            document["stepName"] = name
        if "on_cancel" in options:
            document["onCancel"] = options["on_cancel"]
        if detached:
            document["detached"] = True
        returns = returns if result is None else value_type(result)
        root_id = keys.root_of(self._run_id(document))
        return self._step_call(name or workflow_name, document, result=returns, root_id=root_id)

    def _run_id(self, link: Mapping[str, Any]) -> str:
        run = link["run"]
        return keys.run_id(self._client.client_id, run["workflowName"], run["idempotencyKey"])

    async def _start(self, link: StepCall[Any]) -> None:
        """Make the link durable, and with it its run. A detached link ends with that."""
        is_detached = "detached" in link.document
        self._has_left |= not is_detached
        (await self._settle(link, None if is_detached else self._ask_start)).unwrap()

    async def _ask_start(self, link: StepCall[Any]) -> Outcome:
        return await self._observed(link, self._ask_opened)

    async def _ask_opened(self, link: StepCall[Any]) -> Outcome:
        with self._called(link):
            is_known = (await self._known()).has_run(link.id, link.documents())
            if not is_known:
                await self._tell_if_cancelled(link)
                # `result` raises it, as it does for a link that is cancelled later.
                with suppress(StepCancelledError):
                    await self._send(self._beginning(link))
        return Outcome("", was_replayed=is_known)

    async def _cancel_link(self, link: StepCall[Any]) -> None:
        """Cancel a link, unless it is known to have ended."""
        if not (await self._known()).has_ended(link.id):
            await self._cancel(self._leaving(link.id, self._now_s() + POSTED_WITHIN_S))
        self._leave([link.id])

    def _attached(self, link: StepCall[T]) -> StepCall[T]:
        """The link, for a handle's method. Raises InvalidRequestError for a detached one."""
        if "detached" in link.document:
            raise InvalidRequestError(
                f"run {self._run_id(link.document)} is detached, so nothing waits for it and nothing "
                "cancels it: start it without detached=True."
            )
        return link

    def _plan_next(self, payload: Any, key: Key | None) -> StepCall[Any]:
        """The run as which this one goes on."""
        if self.step_id != keys.root_of(self.run_id):
            self._refuse(
                "continue_as: this workflow is a step of another one, and only a whole run can go on as "
                "another run. Return to the caller, or let it call this workflow by `run_workflow`."
            )
        is_next = self._call.continued_from is not None
        given = next_key(self.idempotency_key, is_next=is_next) if key is None else key_text(key)
        url = self._call.url
        own = next((own for own in self._names.values() if joined_url(url, own.name) == url), None)
        written = jsonable(payload, "the payload of continue_as") if own is None else own.written(payload)
        document = start_document(self.workflow_name, url, written, key=given, options={})
        root_id = keys.root_of(keys.run_id(self._client.client_id, self.workflow_name, given))
        step_call = self._step_call("continue_as", document, root_id=root_id)
        posted = {**step_call.document, "continues": self.step_id}
        del posted["parent"]
        return replace(step_call, id=root_id, document=posted)

    async def _ask_next(self, following: StepCall[Any]) -> Outcome:
        if left_out := self._left_out():
            self._refuse(left_out)
        await self._tell_if_cancelled(following)
        # A next run that was cancelled since an earlier attempt is the next run nevertheless.
        with self._called(following), suppress(CancelledError):
            await self._send(self._beginning(following))
        raise Suspended(ContinuedAs(following.id))

    @abstractmethod
    def _left_out(self) -> str:
        """Which calls the handler has made and not performed, and the cure; empty when there are none."""


def next_key(key: str, *, is_next: bool) -> str:
    """The key of the run after the one with this key: `order/2` after `order`, then `order/3`.

    `is_next`: the run goes on for another one, so the number at the end of its key is that of a run. A key
    that is so long that the number has no room is shortened first, and ends in a digest.
    """
    number = _NUMBERED.search(key) if is_next else None
    of_all, next_number = (key, 2) if number is None else (key[: number.start()], int(number[1]) + 1)
    following = f"{of_all}/{next_number}"
    if len(following) <= KEY_MAX_CHARS:
        return following
    return f"{keys.scoped_key(of_all, hashlib.sha256(of_all.encode()).hexdigest())}/{next_number}"
