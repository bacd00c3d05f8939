"""The answer of an endpoint to a call of Atomic: a result or an error, at once or posted later."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic_core import from_json, to_json

from atomic.protocol import failures, headers
from atomic.protocol.documents import StepOutcome
from atomic.protocol.problems import MEDIA_TYPE, STEP_FAILED
from atomic.protocol.signatures import SignatureRefused
from atomic.sdk._wire import api
from atomic.sdk._wire.suspension import Suspended
from atomic.sdk._wire.transport import TRANSIENT, Flow
from atomic.sdk.errors import (
    AtomicError,
    InvalidRequestError,
    NonRetryable,
    RefusedError,
    RetryAfter,
    RunCancelledError,
    StepFailedError,
)

_log = logging.getLogger("atomic")
_NO_RETRY: Final = {headers.NO_RETRY: "true"}
# Proxies accept about 4 KiB of headers, so an answer names only so many steps. One of them is enough for
# the handler to be called again.
NAMED_MAX: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerResponse:
    """The response that a framework adapter sends."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Unreadable(Exception):
    """The request was not sent by Atomic."""


class ContinuedAs(Exception):
    """The cause of a suspension that is the end of a run: it goes on as the run of this root."""

    def __init__(self, root_id: str) -> None:
        super().__init__(root_id)
        self.root_id = root_id


def success(result: Any) -> HandlerResponse:
    """200 with the result, which consists of plain JSON values."""
    given = {headers.CONTENT_TYPE: "application/json"}
    return HandlerResponse(status=200, headers=given, body=to_json(result))


def marked(response: HandlerResponse, build: str, unused_results: int = 0) -> HandlerResponse:
    """The response with headers for operators: the build, and how many results were not used."""
    unused = str(unused_results or "")
    more = {name: text for name, text in ((headers.BUILD, build), (headers.UNUSED_RESULTS, unused)) if text}
    return replace(response, headers={**response.headers, **more}) if more else response


def failure(error: BaseException, where: str = "a handler") -> HandlerResponse:
    """The response for an error of a handler, which `where` names in the log.

    KeyboardInterrupt, CancelledError and the like are raised again.
    """
    if isinstance(error, Suspended):
        return _suspension(error)
    cause = cause_of(error)
    match cause:
        case NonRetryable():
            return _problem(500, _text(cause) or "The endpoint failed.", _NO_RETRY)
        case RetryAfter():
            return _problem(503, _text(cause), {headers.RETRY_AFTER: str(math.ceil(cause.seconds))})
        case SignatureRefused():
            return _problem(401, str(cause))
        case Unreadable():
            return _problem(400, str(cause), _NO_RETRY)
        case AtomicError():
            return _of_atomic(cause)
        case Exception():
            _log.error("%s failed", where, exc_info=cause)
            named = {headers.ERROR_TYPE: ", ".join(error_types(type(cause))[: headers.ERROR_TYPES_MAX])}
            return _problem(500, f"{type(cause).__name__}: {_text(cause)}", named)
        case _:
            raise error


def failure_document(error: Exception) -> dict[str, Any]:
    """The same response as the document of an answer that is posted. Raises InvalidRequestError."""
    if not isinstance(error, Exception):
        raise InvalidRequestError(f"error: give the exception that the step would raise, not {error!r}.")
    response = failure(error, "the work of a call that is answered later")
    given = {name: text for name, text in response.headers.items() if name != headers.CONTENT_TYPE}
    return {"status": response.status, "headers": given, "body": from_json(response.body)}


def error_types(kind: type[BaseException]) -> list[str]:
    """The names of an exception's classes, its own first, that a retry policy may name."""
    names = [each.__name__ for each in kind.__mro__ if issubclass(each, Exception)]
    return [name for name in names if headers.is_error_type(name)]


def not_found(path: str) -> HandlerResponse:
    """A 404 for paths without a function, as web frameworks answer by themselves."""
    return _problem(404, f"Nothing is served at {path}.")


def _of_atomic(error: AtomicError) -> HandlerResponse:
    if isinstance(error, RunCancelledError):
        return _problem(409, str(error), {headers.CANCELLED: "true"})
    if isinstance(error, StepFailedError):
        why = failures.innermost(error.problem)
        return _problem(500, failures.cause(why), _NO_RETRY, {**why, "type": STEP_FAILED.uri})
    return _problem(500, str(error), _NO_RETRY) if error.is_permanent else _problem(503, str(error))


def _suspension(signal: Suspended) -> HandlerResponse:
    """202 with the steps that the handler waits for, or the response for another cause."""
    if signal.cause is None:
        named = ", ".join(signal.waiting_for[:NAMED_MAX])
        # A server that does not know the policy calls the handler again when any step has ended.
        wake = {} if signal.wake == "any" else {headers.WAKE: signal.wake}
        return HandlerResponse(status=202, headers={headers.WAITING_FOR: named, **wake})
    if isinstance(signal.cause, ContinuedAs):
        return HandlerResponse(status=202, headers={headers.CONTINUE_AS: signal.cause.root_id})
    if isinstance(signal.cause, TRANSIENT):
        later = signal.cause.retry_after if isinstance(signal.cause, RefusedError) else ""
        extra = {headers.REFUSED: "true", **({headers.RETRY_AFTER: later} if later else {})}
        return _problem(503, str(signal.cause), extra)
    return failure(signal.cause)


def _problem(
    status: int,
    detail: str,
    extra: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> HandlerResponse:
    title = "The endpoint asks for a later call" if status == 503 else "The endpoint failed"
    # A lone surrogate would make the body invalid JSON.
    detail = detail.encode(errors="replace").decode()
    document = {**(members or {}), "title": title, "status": status, "detail": detail}
    given = {headers.CONTENT_TYPE: MEDIA_TYPE, **(extra or {})}
    return HandlerResponse(status=status, headers=given, body=to_json(document))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(the error has no text)"


def cause_of(error: BaseException) -> BaseException:
    """The error that counts. In a group, such as a TaskGroup raises, this is the most final error."""
    return max(_leaves(error), key=_finality)


def _finality(error: BaseException) -> int:
    if not isinstance(error, Exception):
        return 3
    is_final = isinstance(error, NonRetryable) or (isinstance(error, AtomicError) and error.is_permanent)
    return 2 if is_final else 1


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def answer(client_id: str, token: str, document: Mapping[str, Any], patience_s: float) -> Flow[StepOutcome]:
    """Post the answer of a call; `token` is `Call.answer_token`."""
    step_id, _, attempt_token = token.partition("/")
    if not attempt_token:
        raise InvalidRequestError(f"token: use the answer_token of a call, not {token!r}.")
    given = {headers.ATTEMPT_TOKEN: attempt_token}
    return (yield from api.act_on_step(client_id, "answer", step_id, patience_s, given, document=document))
