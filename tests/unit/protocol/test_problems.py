"""RFC 9457 bodies with stable types."""

import pytest

from atomic.protocol import problems
from atomic.protocol.problems import Problem, ProblemType

STATUSES = {
    "invalid-request": 400,
    "unauthorized": 401,
    "url-not-allowed": 403,
    "attempt-token-required": 403,
    "foreign-origin": 403,
    "foreign-caller": 403,
    "not-failed": 409,
    "not-found": 404,
    "method-not-allowed": 405,
    "cancelled": 409,
    "step-cancelled": 409,
    "is-root": 409,
    "run-ended": 409,
    "run-live": 409,
    "not-an-open-event": 409,
    "attempt-over": 409,
    "not-redrivable": 409,
    "not-reschedulable": 409,
    "too-deep": 409,
    "run-cycle": 409,
    "run-exists": 409,
    "busy": 409,
    "beyond-token": 403,
    "client-conflict": 409,
    "precondition-failed": 412,
    "too-many-schedules": 409,
    "too-many-hooks": 409,
    "too-many-pauses": 409,
    "too-many-retentions": 409,
    "event-ended": 410,
    "storage-full": 507,
    "too-large": 413,
    "misdirected": 421,
    "payload-mismatch": 422,
    "step-failed": 424,
    "event-expired": 424,
    "event-rejected": 424,
    "too-many-requests": 429,
    "internal": 500,
    "unavailable": 503,
    "not-finished": 504,
}


def test_types_and_statuses_are_stable() -> None:
    """Callers may branch on them, so names are only added."""
    assert {kind.name: kind.status for kind in problems.ALL} == STATUSES


def test_no_two_types_share_a_name_or_a_title() -> None:
    assert len({kind.uri for kind in problems.ALL}) == len(problems.ALL)
    assert len({kind.title for kind in problems.ALL}) == len(problems.ALL)


@pytest.mark.parametrize("kind", problems.ALL, ids=lambda kind: kind.name)
def test_a_body_is_a_problem_document(kind: ProblemType) -> None:
    problem = Problem(kind, "Say “why” 😀.", {"id": "run_1"}, {"retry-after": "1"})
    document = problem.document()
    assert list(document) == ["type", "title", "status", "detail", "id"]
    assert document["type"] == f"urn:atomic:problem:{kind.name}"
    assert document["status"] == kind.status
    assert document["detail"] == "Say “why” 😀."
    assert str(problem) == f"{kind.name}: Say “why” 😀."


def test_the_media_type_is_that_of_the_rfc() -> None:
    assert problems.MEDIA_TYPE == "application/problem+json"


def test_not_found_is_the_same_for_everybody() -> None:
    assert problems.not_found().document() == problems.not_found().document()
    assert problems.not_found().headers == {}
    assert problems.not_found().type.status == 404


def test_invalid_names_field_and_cure() -> None:
    problem = problems.invalid("timeout", "use at most 5")
    assert problem.document()["detail"] == "timeout: use at most 5"
    assert problem.document()["errors"] == [{"field": "timeout", "message": "use at most 5"}]


def test_problems_do_not_share_members() -> None:
    one, other = Problem(problems.INTERNAL, "a"), Problem(problems.INTERNAL, "b")
    assert one.members is not other.members
    assert one.headers is not other.headers
