"""What both colours of a handler's context share: identities, documents, the time that is left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin

from atomic.sdk._documents import Key, StepOptions, key_text, start_document
from atomic.sdk._flow import post_once, step_once
from atomic.sdk._http import Flow
from atomic.sdk._identity import Scope, step_key
from atomic.sdk._planning import NO_NAMES, Function, Names, Planned, Served, step_id
from atomic.sdk._values import UNDECLARED, ValueType, jsonable, value_type
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.client import Client
from atomic.sdk.errors import NotFinishedError, Suspended
from atomic.sdk.retry import Seconds, milliseconds, seconds

# A server answers what is finished however short the hang is.
_LOOK_S: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of an endpoint by Atomic. `attempt` counts from 1; `idempotency_key` is the step's own.

    `url` is where the endpoint was called; `traceparent` is the caller's trace, empty when there is none.
    """

    run_id: str
    step_id: str
    workflow_name: str
    idempotency_key: str
    attempt: int
    url: str
    traceparent: str = ""


class CallOptions(StepOptions, total=False):
    """What a step called from a handler may be given: `timeout` is how long the handler hangs for it.

    The second call of a URL is another step, and so on in order; `key` says which is which instead.
    """

    timeout: Seconds
    key: Key | None


class BaseContext:
    """A handler's view of its run. `hang_s` is how long one call of the handler waits for its steps.

    `names` are those of the functions that are served beside it.
    """

    def __init__(
        self, call: Call, client: Client | AsyncClient, hang_s: float, names: Names = NO_NAMES
    ) -> None:
        self._call = call
        self._names = names
        self.run_id = call.run_id
        self.step_id = call.step_id
        self.workflow_name = call.workflow_name
        self.idempotency_key = call.idempotency_key
        self.attempt = call.attempt
        self._api = client
        self._until_s = time.monotonic() + hang_s
        self._root = Scope()
        self._open: dict[str, None] = {}

    @property
    def unfinished(self) -> list[str]:
        """The ids of the steps that were called and have no outcome yet."""
        return list(self._open)

    def _plan(
        self, step: str | Function, payload: Any, options: CallOptions, result: Any = None
    ) -> Planned[Any]:
        if isinstance(step, str):
            name, returns = step, UNDECLARED
            written = jsonable(payload, f"the payload of step {name!r}")
        else:
            served = self._served(step)
            name, returns, written = served.name, served.returns, served.written(payload)
        url = urljoin(self._call.url, name)
        key = options.get("key")
        suffix = self._suffix(url) if key is None else f"/{key_text(key)}"
        own_key = step_key(self.idempotency_key, suffix)
        document = start_document(self.workflow_name, url, written, key=own_key, options=options)
        timeout_s = seconds(options["timeout"]) if "timeout" in options else None
        returns = returns if result is None else value_type(result)
        return self._planned(name, document, result=returns, timeout_s=timeout_s)

    def _plan_sleep(self, duration: Seconds) -> Planned[None]:
        document: dict[str, Any] = {
            "workflowName": self.workflow_name,
            "kind": "timer",
            "stepName": "sleep",
            "idempotencyKey": step_key(self.idempotency_key, self._suffix("timer")),
            "delay": milliseconds("sleep", max(seconds(duration), 0.0)),
        }
        # A timer that outlasts this attempt is not worth hanging for.
        is_long = seconds(duration) > self._until_s - time.monotonic()
        return self._planned("sleep", document, timeout_s=0.0 if is_long else None)

    def _plan_event(self, name: str, deadline: Seconds | None, result: Any = None) -> Planned[Any]:
        document: dict[str, Any] = {
            "workflowName": self.workflow_name,
            "kind": "event",
            "stepName": name,
            "idempotencyKey": self.idempotency_key,
        }
        if deadline is not None:
            document["deadline"] = milliseconds("deadline", deadline)
        type_ = UNDECLARED if result is None else value_type(result)
        return self._planned(name, document, result=type_)

    def _planned(
        self,
        name: str,
        document: dict[str, Any],
        *,
        result: ValueType = UNDECLARED,
        timeout_s: float | None = None,
    ) -> Planned[Any]:
        posted = {**document, "parent": self.step_id}
        planned_id = step_id(self._api.client_id, self.run_id, posted)
        return Planned(id=planned_id, name=name, document=posted, result=result, timeout_s=timeout_s)

    def _served(self, function: Function) -> Served:
        try:
            return self._names[function]
        except KeyError:
            raise LookupError(f"{function!r} is not served beside this workflow: give its URL") from None

    def _suffix(self, url: str) -> str:
        return self._root.suffix(url)

    def _flow(self, planned: Planned[Any]) -> Flow[Any]:
        left_s = max(_LOOK_S, self._until_s - time.monotonic())
        hang_s = left_s if planned.timeout_s is None else min(planned.timeout_s, left_s)
        return step_once(
            self._api.client_id,
            planned.document,
            hang_s=max(_LOOK_S, hang_s),
            patience_s=min(self._api.patience_s, left_s),
            trace=self._call.traceparent,
        )

    def _opening(self, planned: Planned[Any]) -> Flow[str]:
        patience_s = min(self._api.patience_s, max(_LOOK_S, self._until_s - time.monotonic()))
        return post_once(self._api.client_id, planned.document, patience_s, self._call.traceparent)

    @contextmanager
    def _called(self, planned: Planned[Any]) -> Iterator[None]:
        self._open[planned.id] = None
        try:
            yield
        except NotFinishedError:
            raise Suspended from None
        except Exception:
            self._open.pop(planned.id, None)
            raise
        self._open.pop(planned.id, None)
