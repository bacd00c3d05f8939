"""Each error of the SDK has a stable code, which the guide lists."""

import inspect
import json
import re
import traceback
from pathlib import Path

import pytest

import atomic.sdk
from atomic.protocol import problems
from atomic.protocol.problems import Problem, ProblemType
from atomic.sdk import errors
from atomic.sdk._wire.transport import HttpResponse, error_of

ROOT = Path(__file__).parents[2]

# Programs rely on these codes. Codes may be added, but never change.
CODES = {
    "AtomicError": "error",
    "CancelledError": "cancelled",
    "ConditionNotMetError": "condition-not-met",
    "DecodingError": "not-decodable",
    "UnknownKeyError": "unknown-key",
    "SagaFailedError": "saga-failed",
    "RunCancelledError": "run-cancelled",
    "StepCancelledError": "step-cancelled",
    "EventRejectedError": "event-rejected",
    "EventTimeoutError": "event-expired",
    "HeartbeatMissedError": "heartbeat-missed",
    "InvalidRequestError": "invalid-request",
    "NoAnswerError": "no-answer",
    "NonRetryable": "non-retryable",
    "NotAnOpenEventError": "not-an-open-event",
    "AttemptOverError": "attempt-over",
    "BusyError": "busy",
    "NotFinishedError": "not-finished",
    "NotFoundError": "not-found",
    "NotRedrivableError": "not-redrivable",
    "PayloadMismatchError": "payload-mismatch",
    "RefusedError": "refused",
    "RetryAfter": "retry-after",
    "RunCycleError": "run-cycle",
    "RunDiffersError": "run-differs",
    "RunExistsError": "run-exists",
    "RunFailedError": "run-failed",
    "TooDeepError": "too-deep",
    "SerializationError": "not-serializable",
    "StartExpiredError": "start-expired",
    "StepFailedError": "step-failed",
    "TooLargeError": "too-large",
    "TooManyRequestsError": "too-many-requests",
    "UnauthorizedError": "unauthorized",
    "UnavailableError": "unavailable",
    "UrlNotAllowedError": "url-not-allowed",
}


def classes() -> dict[str, type[BaseException]]:
    public = {name: getattr(atomic.sdk, name) for name in atomic.sdk.__all__}
    return {
        name: kind
        for name, kind in public.items()
        if inspect.isclass(kind) and issubclass(kind, BaseException)
    }


def test_every_class_has_a_code_of_its_own() -> None:
    assert {name: vars(kind)["code"] for name, kind in classes().items()} == CODES
    assert len(set(CODES.values())) == len(CODES)


def test_no_error_of_the_module_is_left_out() -> None:
    made = {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.AtomicError)
    }
    assert made <= classes().keys()


@pytest.mark.parametrize("kind", problems.ALL, ids=lambda kind: kind.name)
def test_the_code_of_a_problem_is_the_name_of_its_type(kind: ProblemType) -> None:
    body = json.dumps(Problem(kind, "what is wrong").document()).encode()
    error = error_of(HttpResponse(status=kind.status, body=body, at_s=0.0, jitter=0.5))
    assert error.code == kind.name
    if kind.name in CODES.values():
        assert type(error).code == kind.name


@pytest.mark.parametrize("kind", problems.ALL, ids=lambda kind: kind.name)
def test_an_error_names_the_part_of_the_documentation_about_its_code(kind: ProblemType) -> None:
    body = json.dumps(Problem(kind, "what is wrong").document()).encode()
    error = error_of(HttpResponse(status=kind.status, body=body, at_s=0.0, jitter=0.5))
    assert error.help == f"troubleshooting.md#{kind.name}"
    assert error.help not in str(error)
    assert traceback.format_exception_only(error)[-1].startswith(f"See {error.help} in the documentation")


def test_what_somebody_else_refused_has_the_code_of_its_class() -> None:
    for status, code in ((403, "refused"), (429, "too-many-requests"), (503, "unavailable")):
        answer = HttpResponse(status=status, body=b"<html>", at_s=0.0, jitter=0.5)
        assert error_of(answer).code == code


def test_the_guide_lists_every_code() -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([a-z-]+)` \|", page, re.MULTILINE)
    beside = re.findall(r"`(\w+)`\s\(`([a-z-]+)`\)", page)
    assert dict(rows + beside) == CODES
