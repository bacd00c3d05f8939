"""How a handler's end goes over the wire: a result, an error, or a suspension."""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from atomic.protocol import failures, headers
from atomic.protocol.problems import MEDIA_TYPE, STEP_FAILED
from atomic.protocol.signatures import SignatureRefused
from atomic.sdk._refusals import PASSING
from atomic.sdk.errors import (
    AtomicError,
    NonRetryable,
    RefusedError,
    RetryAfter,
    StepFailedError,
    Suspended,
)

_log = logging.getLogger("atomic")
_NO_RETRY: Final = {headers.NO_RETRY: "true"}
# Proxies take some 4 KiB of headers; one of the steps is enough to be called again.
_NAMED_MAX: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerResponse:
    """What a shell sends back."""

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
    """The answer for what a handler raised, which the log names. Ctrl-C and cancelling are raised again."""
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
    """The steps that the handler waits for, or what keeps it from going on without any fault of its own."""
    if signal.cause is None:
        named = ", ".join(signal.waiting_for[:_NAMED_MAX])
        return HandlerResponse(status=202, headers={headers.WAITING_FOR: named})
    if isinstance(signal.cause, PASSING):
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
    """Of a group (a TaskGroup raises one) the error that counts: the most final one."""
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
