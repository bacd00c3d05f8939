"""Atomic's API as flows: they turn arguments into requests, and decide which to repeat, for how long."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple, TypedDict
from urllib.parse import quote, urlencode
from uuid import UUID

from pydantic_core import to_json

from atomic.protocol import headers
from atomic.protocol.client_documents import StartTokenDocument
from atomic.protocol.defaults import ROOT_WAIT_MS
from atomic.protocol.documents import (
    ProbeResult,
    RunDocument,
    RunSummary,
    StepDocument,
    StepOutcome,
)
from atomic.protocol.enums import LIVE, OnLost
from atomic.sdk._wire.in_process import clock
from atomic.sdk._wire.moments import moment, start_times
from atomic.sdk._wire.outcomes import check_success
from atomic.sdk._wire.repeats import REFUSED_S, between_waits_s, exchange
from atomic.sdk._wire.transport import (
    Flow,
    HttpRequest,
    HttpResponse,
    Model,
    StepsPath,
    error_of,
    members,
    read,
)
from atomic.sdk._wire.values import utf8
from atomic.sdk.errors import (
    InvalidRequestError,
    NotFinishedError,
    StepFailedError,
    UnavailableError,
)
from atomic.sdk.flow import Flow as FlowLimit
from atomic.sdk.flow import flow_document
from atomic.sdk.retry import Retry, Seconds, milliseconds, retry_document, seconds

# API Gateway ends a request after 29 s; a longer wait is made of several requests.
_WAIT_MAX_S: Final = ROOT_WAIT_MS / 1000
# A post that waits and is answered at once: the server makes a note that its handler waits for the step.
_NO_WAIT_S: Final = 0.001
Key = str | int | UUID


class StepOptions(TypedDict, total=False):
    """Options of a step. Durations are seconds or timedeltas.

    `retry` is a Retry, or the number of retries; `delay` the time before the first attempt, or `start_at`
    its moment; `start_by` by when it has to begin, as a moment or as a time after its start; `deadline` the
    total time of the step; `attempt_timeout` the time of one HTTP attempt; `on_lost` "repeat" or "fail";
    `flow` the limits that it shares with others.
    """

    retry: Retry | int
    delay: Seconds
    start_at: datetime
    start_by: datetime | Seconds
    deadline: Seconds
    attempt_timeout: Seconds
    on_lost: OnLost
    flow: FlowLimit | Sequence[FlowLimit]


def unknown_options(given: Mapping[str, object], known: type) -> str:
    """A message about options that a TypedDict does not have; empty when it has all of them.

    Python does not check options that are passed on as `**options`; a misspelled one would be ignored.
    """
    names = ", ".join(sorted(given.keys() - known.__annotations__.keys()))
    return (
        f"{names}: there is no such option; there are {', '.join(known.__annotations__)}" if names else ""
    )


def check_options(given: Mapping[str, object], known: type) -> None:
    """Raise InvalidRequestError for options that a TypedDict does not have."""
    if unknown := unknown_options(given, known):
        raise InvalidRequestError(f"{unknown}.")


def check_number(name: str, number: object, least: int) -> None:
    """Raise InvalidRequestError for anything but an int that is at least `least`."""
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise InvalidRequestError(f"{name}: use a whole number from {least} on, not {number!r}.")


def key_text(key: Key) -> str:
    """A key as text. Only types whose text is the same in every process are allowed."""
    if isinstance(key, str):
        utf8("key", key)
        return str.__str__(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return int.__repr__(key)
    if isinstance(key, UUID):
        return str(key)
    raise InvalidRequestError(f"key: use a str, an int or a UUID, not {key!r}.")


def start_document(
    workflow_name: str, url: str, payload: Any, *, key: Key, options: StepOptions
) -> dict[str, Any]:
    """The body of a start that calls an endpoint. `payload` is plain JSON values."""
    document: dict[str, Any] = {
        "workflowName": workflow_name,
        "stepInvokeUrl": url,
        "idempotencyKey": key_text(key),
        "payload": payload,
    }
    if "retry" in options:
        document["retry"] = retry_document(options["retry"])
    document |= start_times(options)
    if "deadline" in options:
        document["deadline"] = milliseconds("deadline", options["deadline"])
    if "attempt_timeout" in options:
        document["attemptTimeout"] = milliseconds("attempt_timeout", options["attempt_timeout"])
    if "on_lost" in options:
        document["onLost"] = options["on_lost"]
    if "flow" in options:
        document["flow"] = flow_document(options["flow"])
    return document


@dataclass(frozen=True, slots=True)
class Deadline:
    """The limits of a call.

    `now_s` is when it began; `timeout_s` is the caller's limit (None: no limit); `patience_s` is how long
    lost connections, 429 and 503 in a row are retried.
    """

    now_s: float
    timeout_s: float | None
    patience_s: float

    @classmethod
    def from_now(cls, timeout: Seconds | None, patience_s: float) -> "Deadline":
        """The limits of a call that begins now."""
        return cls(clock()(), None if timeout is None else seconds(timeout), patience_s)

    @property
    def until_s(self) -> float:
        """When the caller's time is over."""
        return math.inf if self.timeout_s is None else self.now_s + self.timeout_s

    def left_at(self, now_s: float) -> "Deadline":
        """The same limits, for a call that is a part of this one and begins later."""
        return Deadline(now_s, None if self.timeout_s is None else self.until_s - now_s, self.patience_s)


def post_start(path: StepsPath, document: Mapping[str, Any], wait_s: float) -> HttpRequest:
    """Post a step. Without a wait, the server answers as soon as the step is durable.

    A value is durable and done at once, so its post has no wait.
    """
    if document.get("kind") == "value":
        return post_of(path.target, document, path.headers)
    body = {**document, "timeout": max(1, round(wait_s * 1000))}
    extra = {headers.PREFER: "respond-async"} if wait_s <= 0 else {}
    return post_of(path.target, body, {**path.headers, **extra}, wait_s)


def begin(path: StepsPath, document: Mapping[str, Any], patience_s: float) -> Flow[HttpResponse]:
    """Make a step durable without waiting for it, also one that has ended: its outcome is no error here."""
    answer = yield from exchange(post_start(path, document, 0.0), patience_s, REFUSED_S)
    if answer.status not in {200, 202, 424}:
        raise error_of(answer)
    return answer


def start(client_id: str, document: Mapping[str, Any], limits: Deadline) -> Flow[StepOutcome]:
    """Start or attach, and wait for the outcome up to the caller's limit.

    Of a run that goes on as another one, this is the outcome of the last run.
    """
    path = StepsPath(f"/{quote(client_id)}", {})
    now_s, pause_s = limits.now_s, 0.0
    while True:
        left_s = max(0.0, limits.until_s - now_s)
        request = post_start(path, document, min(left_s, _WAIT_MAX_S))
        answer = yield from exchange(replace(request, pause_s=pause_s), limits.patience_s)
        if answer.status == 200 or (answer.status == 202 and limits.timeout_s == 0):
            outcome = read(StepOutcome, answer)
            if outcome.continued_as is None or limits.timeout_s == 0:
                return outcome
            return (yield from wait(client_id, outcome.continued_as, limits.left_at(answer.at_s)))
        if answer.status not in {202, 504} or answer.at_s >= limits.until_s:
            raise error_of(replace(answer, status=504) if answer.status == 202 else answer)
        pause_s = min(between_waits_s(now_s, answer, pause_s), limits.until_s - answer.at_s)
        now_s = answer.at_s + pause_s


class Outcome(NamedTuple):
    """How a step ended: its response, or the error to raise.

    `ended_at` can be compared with others, and is empty when the server does not say. `was_replayed`: the
    step had ended before the post. `continued_as`: the response is that of another root, as which a run
    went on.
    """

    ended_at: str
    was_replayed: bool
    response: Any = None
    error: StepFailedError | None = None
    continued_as: str | None = None

    def unwrap(self) -> Any:
        """The response. Raises StepFailedError."""
        if self.error is not None:
            raise self.error
        return self.response


def step_once(
    path: StepsPath, document: Mapping[str, Any], *, wait_s: float, patience_s: float
) -> Flow[Outcome]:
    """Post a step of a handler and wait for it once. Raises NotFinishedError when it needs longer."""
    request = post_start(path, document, max(wait_s, _NO_WAIT_S))
    answer = yield from exchange(request, patience_s, REFUSED_S)
    if _is_of_gateway(answer):
        # It has not waited for the server, which may never have got the post.
        answer = yield from exchange(post_start(path, document, _NO_WAIT_S), patience_s, REFUSED_S)
        if _is_of_gateway(answer):
            raise UnavailableError("A gateway answered 504 in place of Atomic.", status=504)
    was_replayed = headers.IDEMPOTENCY_REPLAYED in answer.headers
    if answer.status == 200:
        response, ended_at, next_root = members(answer, "response", "finishedAt", optional=("continuedAs",))
        return Outcome(ended_at, was_replayed, response, continued_as=next_root)
    error = error_of(answer)
    if not isinstance(error, StepFailedError):
        raise error
    return Outcome(error=error, ended_at=error.finished_at or "", was_replayed=was_replayed)


def wait(client_id: str, step_id: str, limits: Deadline) -> Flow[StepDocument]:
    """Long-poll a step until it settles, and the last run of one that goes on as others.

    Raises the errors of `start`.
    """
    now_s, pause_s = limits.now_s, 0.0
    while True:
        wait_s = min(max(0.0, limits.until_s - now_s), _WAIT_MAX_S)
        query = urlencode({"wait": round(wait_s * 1000)})
        request = get_of(f"/{quote(client_id)}/steps/{quote(step_id)}?{query}", wait_s)
        answer = yield from exchange(replace(request, pause_s=pause_s), limits.patience_s)
        step = document_of(StepDocument, answer)
        if step.status not in LIVE:
            if step.continued_as is None or step.kind == "run":
                check_success(step)
                return step
            step_id = step.continued_as
        if answer.at_s >= limits.until_s:
            raise NotFinishedError("Not finished in time.", step_id=step_id)
        is_next = step_id != step.id
        pause_s = (
            0.0 if is_next else min(between_waits_s(now_s, answer, pause_s), limits.until_s - answer.at_s)
        )
        now_s = answer.at_s + pause_s


def probe(client_id: str, document: Mapping[str, Any], patience_s: float) -> Flow[ProbeResult]:
    """One call of an endpoint without a step."""
    request = post_of(f"/{quote(client_id)}/probe", document, wait_s=_WAIT_MAX_S)
    return document_of(ProbeResult, (yield from exchange(request, patience_s)))


def get_step(client_id: str, step_id: str, patience_s: float) -> Flow[StepDocument]:
    """A step in its present state."""
    path = f"/{quote(client_id)}/steps/{quote(step_id)}"
    return document_of(StepDocument, (yield from exchange(get_of(path), patience_s)))


def get_run(client_id: str, run_id: str, patience_s: float) -> Flow[RunDocument]:
    """A run with all of its steps."""
    path: str | None = f"/{quote(client_id)}/runs/{quote(run_id)}"
    pages: list[RunDocument] = []
    while path is not None:
        pages.append(document_of(RunDocument, (yield from exchange(get_of(path), patience_s))))
        path = pages[-1].next
    return pages[-1].model_copy(update={"steps": [step for page in pages for step in page.steps]})


def act_on_run(
    client_id: str, name: str, run_id: str, patience_s: float, document: Any = None
) -> Flow[RunSummary]:
    """Do an action of `protocol.actions` to a run."""
    request = post_of(f"/{quote(client_id)}/runs/{quote(run_id)}/{name}", document)
    return document_of(RunSummary, (yield from exchange(request, patience_s)))


def cancel_run(
    client_id: str, run_id: str, patience_s: float, *, graceful: bool, within: Seconds | None
) -> Flow[RunSummary]:
    """Cancel a run: at once, or after its handlers have undone what they did.

    Raises InvalidRequestError for a time without `graceful`.
    """
    document: dict[str, Any] | None = {"mode": "graceful"} if graceful else None
    if within is not None:
        if document is None:
            raise InvalidRequestError("within: it is for graceful=True; leave it out.")
        document["within"] = milliseconds("within", within)
    return (yield from act_on_run(client_id, "cancel", run_id, patience_s, document))


def act_on_step(
    client_id: str,
    name: str,
    step_id: str,
    patience_s: float,
    given: Mapping[str, str] | None = None,
    *,
    document: Any = None,
    pause_s: float = 0.0,
) -> Flow[StepOutcome]:
    """Do something to a step, after a pause.

    `given` are the headers of the parent's handler, or the attempt token of a caller that needs one.
    """
    request = post_of(f"/{quote(client_id)}/steps/{quote(step_id)}/{name}", document, given)
    return document_of(StepOutcome, (yield from exchange(replace(request, pause_s=pause_s), patience_s)))


def due(client_id: str, step_id: str, at: datetime | None, patience_s: float) -> Flow[StepOutcome]:
    """Make a step due at a moment (None: now)."""
    document = {} if at is None else {"at": moment("at", at)}
    return (yield from act_on_step(client_id, "due", step_id, patience_s, document=document))


def start_token(
    client_id: str,
    workflows: Mapping[str, str],
    patience_s: float,
    *,
    key_prefix: str | None,
    expires_in: Seconds | None,
    steps: bool,
) -> Flow[StartTokenDocument]:
    """A short-lived key that may start these workflows."""
    document: dict[str, Any] = {"workflows": dict(workflows), "steps": steps}
    if key_prefix is not None:
        document["keyPrefix"] = key_prefix
    if expires_in is not None:
        document["expiresIn"] = milliseconds("expires_in", expires_in)
    request = post_of(f"/{quote(client_id)}/start-tokens", document)
    return document_of(StartTokenDocument, (yield from exchange(request, patience_s)))


def post_of(
    target: str, document: Any = None, extra: Mapping[str, str] | None = None, wait_s: float = 0.0
) -> HttpRequest:
    """A POST of this document, with extra headers; its answer may take `wait_s`."""
    body = b"" if document is None else to_json(document)
    given = {headers.CONTENT_TYPE: "application/json", **(extra or {})}
    return HttpRequest(method="POST", target=target, body=body, headers=given, wait_s=wait_s)


def put_of(target: str, document: Any, extra: Mapping[str, str] | None = None) -> HttpRequest:
    """A PUT of this document, with extra headers."""
    given = {headers.CONTENT_TYPE: "application/json", **(extra or {})}
    return HttpRequest(method="PUT", target=target, body=to_json(document), headers=given)


def get_of(target: str, wait_s: float = 0.0) -> HttpRequest:
    """A GET, whose answer may take `wait_s`."""
    return HttpRequest(method="GET", target=target, wait_s=wait_s)


def document_of(model: type[Model], answer: HttpResponse) -> Model:
    """The document of a response. Raises the error of an unsuccessful response."""
    if answer.status != 200:
        raise error_of(answer)
    return read(model, answer)


def _is_of_gateway(answer: HttpResponse) -> bool:
    """Whether this is a 504 that is not Atomic's own, which names the step."""
    return answer.status == 504 and getattr(error_of(answer), "step_id", None) is None
