"""From an answer that is no success to the error that is raised for it."""

import json
from typing import Any, Final

from atomic.protocol import headers, problems
from atomic.sdk import errors
from atomic.sdk._http import HttpResponse, Model
from atomic.sdk._mixups import foreign

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
_CONFLICTS: Final[dict[str, type[errors.RefusedError]]] = {
    problems.NOT_AN_OPEN_EVENT.uri: errors.NotAnOpenEventError,
    problems.NOT_REDRIVABLE.uri: errors.NotRedrivableError,
}


def error_of(answer: HttpResponse) -> errors.AtomicError:
    """The error for an answer that is no success."""
    if answer.status == 0:
        return errors.NoAnswerError(f"No answer from {answer.error}.", cure=answer.cure)
    problem = problem_of(answer)
    if answer.status == 504:
        return errors.NotFinishedError("Not finished in time.", step_id=problem.get("id"))
    if not problem:
        return foreign(answer)
    detail = str(problem.get("detail"))
    if answer.status == 424:
        is_event = problem["type"] == problems.EVENT_EXPIRED.uri
        kind_of_failure = errors.EventTimeoutError if is_event else errors.StepFailedError
        return kind_of_failure(detail, members=problem)
    if problem["type"] == problems.CANCELLED.uri:
        return errors.CancelledError(detail)
    kind = _CONFLICTS.get(problem["type"]) or _BY_STATUS.get(answer.status, errors.RefusedError)
    if answer.status >= 500:
        kind = errors.UnavailableError
    retry_after = answer.headers.get(headers.RETRY_AFTER, "")
    return kind(detail, status=answer.status, problem=problem, retry_after=retry_after)


def read(model: type[Model], answer: HttpResponse) -> Model:
    """The document of a successful answer. Raises RefusedError when somebody else has given it."""
    try:
        return model.model_validate_json(answer.body)
    except ValueError:
        raise foreign(answer) from None


def members(answer: HttpResponse, *names: str) -> list[Any]:
    """The same of some members. The rest is not looked at: this is where a handler's time goes."""
    try:
        document = json.loads(answer.body)
        return [document[name] for name in names]
    except (ValueError, LookupError, TypeError):
        raise foreign(answer) from None


def problem_of(answer: HttpResponse) -> dict[str, Any]:
    """Atomic's problem document of an answer; empty when somebody else answered."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and problems.name_of(document) else {}
