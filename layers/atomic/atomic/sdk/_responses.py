"""The error for a response of the API, and the response for an error of a handler."""

import json
import logging
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from atomic.protocol import failures, headers, problems
from atomic.protocol.problems import MEDIA_TYPE, STEP_FAILED
from atomic.protocol.signatures import SignatureRefused
from atomic.sdk._transport import HttpResponse, Model
from atomic.sdk.errors import (
    AtomicError,
    CancelledError,
    EventTimeoutError,
    InvalidRequestError,
    NoAnswerError,
    NonRetryable,
    NotAnOpenEventError,
    NotFinishedError,
    NotFoundError,
    NotRedrivableError,
    PayloadMismatchError,
    RefusedError,
    RetryAfter,
    StepFailedError,
    Suspended,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UrlNotAllowedError,
)

_log = logging.getLogger("atomic")
_NO_RETRY: Final = {headers.NO_RETRY: "true"}
# Proxies take some 4 KiB of headers; one of the steps is enough to be called again.
_NAMED_MAX: Final = 40
_BY_STATUS: Final[dict[int, type[RefusedError]]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    403: UrlNotAllowedError,
    404: NotFoundError,
    413: TooLargeError,
    422: PayloadMismatchError,
    429: TooManyRequestsError,
}
# The server is busy or does not answer. Nothing is known of the step, and posting again may succeed.
TRANSIENT: Final = (NoAnswerError, TooManyRequestsError, UnavailableError)
_CONFLICTS: Final[dict[str, type[RefusedError]]] = {
    problems.NOT_AN_OPEN_EVENT.uri: NotAnOpenEventError,
    problems.NOT_REDRIVABLE.uri: NotRedrivableError,
}
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_SAID_MAX_CHARS: Final = 100


def error_of(response: HttpResponse) -> AtomicError:
    """The error for a response that is no success."""
    if response.status == 0:
        return NoAnswerError(f"No answer from {response.error}.", cure=response.cure)
    problem = _problem_of(response)
    if response.status == 504:
        return NotFinishedError("Not finished in time.", step_id=problem.get("id"))
    if not problem:
        return _foreign(response)
    detail = str(problem.get("detail"))
    if response.status == 424:
        is_event = problem["type"] == problems.EVENT_EXPIRED.uri
        kind_of_failure = EventTimeoutError if is_event else StepFailedError
        return kind_of_failure(detail, members=problem)
    if problem["type"] == problems.CANCELLED.uri:
        return CancelledError(detail)
    kind = _CONFLICTS.get(problem["type"]) or _BY_STATUS.get(response.status, RefusedError)
    if response.status >= 500:
        kind = UnavailableError
    retry_after = response.headers.get(headers.RETRY_AFTER, "")
    return kind(detail, status=response.status, problem=problem, retry_after=retry_after)


def read(model: type[Model], response: HttpResponse) -> Model:
    """The document of a successful response. Raises RefusedError when somebody else has given it."""
    try:
        return model.model_validate_json(response.body)
    except ValueError:
        raise _foreign(response) from None


def members(response: HttpResponse, *names: str) -> list[Any]:
    """The same of some members. The rest is not looked at: this is where a handler's time goes."""
    try:
        document = json.loads(response.body)
        return [document[name] for name in names]
    except (ValueError, LookupError, TypeError):
        raise _foreign(response) from None


def _problem_of(response: HttpResponse) -> dict[str, Any]:
    """Atomic's problem document of a response; empty when somebody else answered."""
    try:
        document = json.loads(response.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and problems.name_of(document) else {}


def _foreign(response: HttpResponse) -> RefusedError:
    """The error for a response that Atomic has not given: a proxy's, a login page's, another server's.

    None of them fails a workflow, since the request itself may be right.
    """
    location = response.headers.get("location", "")
    if 300 <= response.status < 400 and location:
        detail = (
            f"{response.url} answered {response.status} and sends to {location[:200]}, "
            "which is not followed."
        )
        return RefusedError(detail, status=response.status, cure="Set ATOMIC_URL to where it sends.")
    said = _said(response)
    words = f" ({said})" if said else ""
    if response.status >= 500:
        return UnavailableError(
            f"{response.url} answered {response.status}{words}.", status=response.status
        )
    if response.status == 429:
        return TooManyRequestsError(f"{response.url} answered 429{words}.", status=429)
    cure = "Check ATOMIC_URL, and what stands between (a proxy, a login page)."
    if response.status == 400 and response.url.startswith("http:"):
        cure += f" If it speaks TLS, set ATOMIC_URL to https{response.url.removeprefix('http')}."
    detail = f"{response.url} answered {response.status}, and not as Atomic does{words}."
    return RefusedError(detail, status=response.status, cure=cure)


def _said(response: HttpResponse) -> str:
    """The title of a page, or the beginning of a text."""
    text = response.body[:4096].decode(errors="replace")
    title = _TITLE.search(text)
    words = title[1] if title else ("" if text.lstrip().startswith("<") else text)
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return words if len(words) <= _SAID_MAX_CHARS else f"{words[: _SAID_MAX_CHARS - 1]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerResponse:
    """What a framework adapter sends back."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Unreadable(Exception):
    """The request is not one of Atomic's."""


def success(result: Any) -> HandlerResponse:
    """200 with the result, which is plain JSON values."""
    body = json.dumps(result, allow_nan=False, separators=(",", ":")).encode()
    return HandlerResponse(status=200, headers={headers.CONTENT_TYPE: "application/json"}, body=body)


def failure(error: BaseException, where: str = "a handler") -> HandlerResponse:
    """The response for an error of a handler, which `where` names in the log.

    KeyboardInterrupt, CancelledError and the like are raised again.
    """
    if isinstance(error, Suspended):
        return _suspension(error)
    cause = _cause(error)
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
            return _problem(500, f"{type(cause).__name__}: {_text(cause)}")
        case _:
            raise error


def not_found(path: str) -> HandlerResponse:
    """What web frameworks answer by themselves: nothing is served there."""
    return _problem(404, f"Nothing is served at {path}.")


def _of_atomic(error: AtomicError) -> HandlerResponse:
    if isinstance(error, StepFailedError):
        why = failures.innermost(error.problem)
        return _problem(500, failures.cause(why), _NO_RETRY, {**why, "type": STEP_FAILED.uri})
    return _problem(500, str(error), _NO_RETRY) if error.is_permanent else _problem(503, str(error))


def _suspension(signal: Suspended) -> HandlerResponse:
    """202 with the steps that the handler waits for, or the response for what else suspended it."""
    if signal.cause is None:
        named = ", ".join(signal.waiting_for[:_NAMED_MAX])
        return HandlerResponse(status=202, headers={headers.WAITING_FOR: named})
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
    # A lone surrogate would make it no JSON.
    detail = detail.encode(errors="replace").decode()
    document = {**(members or {}), "title": title, "status": status, "detail": detail}
    given = {headers.CONTENT_TYPE: MEDIA_TYPE, **(extra or {})}
    return HandlerResponse(status=status, headers=given, body=json.dumps(document).encode())


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it cannot be put into words)"


def _cause(error: BaseException) -> BaseException:
    """The error that counts: of a group, as a TaskGroup raises it, the most final one."""
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
