"""From an answer that is no success to the error that is raised for it."""

import json
from typing import Any, Final

from atomic.protocol import headers, problems
from atomic.sdk import errors
from atomic.sdk._http import HttpAnswer

_BY_STATUS: Final[dict[int, type[errors.RefusedError]]] = {
    400: errors.InvalidRequestError,
    401: errors.UnauthorizedError,
    403: errors.UrlNotAllowedError,
    404: errors.NotFoundError,
    413: errors.TooLargeError,
    422: errors.PayloadMismatchError,
    429: errors.TooManyRequestsError,
}
# Nothing is known of the step, and posting again may do: the server is busy, or nobody is there.
PASSING: Final = (errors.NoAnswerError, errors.TooManyRequestsError, errors.UnavailableError)


def error_of(answer: HttpAnswer) -> errors.AtomicError:
    """The error for an answer that is no success."""
    if answer.status == 0:
        return errors.NoAnswerError(f"No answer from {answer.error}.")
    problem = problem_of(answer)
    detail = str(problem.get("detail") or f"The answer was {answer.status}, and no problem of Atomic's.")
    if answer.status == 424:
        is_event = problem.get("type") == problems.EVENT_EXPIRED.uri
        kind_of_failure = errors.EventTimeoutError if is_event else errors.StepFailedError
        return kind_of_failure(detail, members=problem)
    if answer.status == 504:
        return errors.NotFinishedError("Not finished in time.", step_id=problem.get("id"))
    if answer.status == 409:
        return _conflict(problem, detail)
    kind = _BY_STATUS.get(answer.status, errors.RefusedError)
    if answer.status >= 500:
        kind = errors.UnavailableError
    retry_after = answer.headers.get(headers.RETRY_AFTER, "")
    return kind(detail, status=answer.status, problem=problem, retry_after=retry_after)


def problem_of(answer: HttpAnswer) -> dict[str, Any]:
    """The problem document of an answer; empty when a proxy on the way answered instead."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _conflict(problem: dict[str, Any], detail: str) -> errors.AtomicError:
    if problem.get("type") == problems.NOT_AN_OPEN_EVENT.uri:
        return errors.NotAnOpenEventError(detail, status=409, problem=problem)
    return errors.CancelledError(detail)
