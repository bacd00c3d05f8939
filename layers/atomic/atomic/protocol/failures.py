"""The error of an attempt: what Atomic found, and after a colon what the endpoint said about it.

The first part is Atomic's own text and may be logged. The rest belongs to the client and may be hidden.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from atomic.protocol.problems import EVENT_EXPIRED, STEP_FAILED

_ANSWERED: Final = re.compile(
    r"(the endpoint answered \d+(?: and forbade a retry|, and no redirect is followed)?): (.*)"
)
# How deep failures of nested workflows are followed; a deeper one is described by its parent.
_NESTED_MAX: Final = 50


def answered(status: int, *, forbidden: bool = False, location: str = "", words: str = "") -> str:
    """The error for an unsuccessful answer; `location` is the target of a redirect."""
    error = f"the endpoint answered {status}"
    if forbidden:
        error += " and forbade a retry"
    elif 300 <= status <= 399:
        error += ", and no redirect is followed"
        words = f"call {location} instead" if location else words
    return f"{error}: {words}" if words else error


def without_excerpt(error: str | None) -> str | None:
    """An error without what the endpoint said."""
    return error and _ANSWERED.sub(r"\1", error)


def reason_of(error: str) -> str:
    """What the endpoint said; if it said nothing, the error itself."""
    match = _ANSWERED.search(error)
    return match[2] if match else error


def innermost(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """The root cause: the innermost problem of a step that failed because another one failed."""
    for _ in range(_NESTED_MAX):
        below = problem.get("response")
        if not isinstance(below, dict) or not is_step_failed(below):
            break
        problem = below
    return problem


def cause(problem: Mapping[str, Any]) -> str:
    """The problem of a failed step as a sentence: why, and in brackets which step and how often."""
    error = str(problem.get("lastError") or "no answer")
    step = problem.get("stepName") or problem.get("stepInvokeUrl") or problem.get("id")
    attempts = problem.get("attempts")
    # An expired event has no calls.
    failed = f"step {step} failed at attempt {attempts}" if attempts else f"step {step}"
    found = without_excerpt(error)
    return f"{error} ({failed})" if found == error else f"{reason_of(error)} ({failed}: {found})"


def is_step_failed(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is the problem `step-failed` or `event-expired` of a start."""
    return document.get("type") in {STEP_FAILED.uri, EVENT_EXPIRED.uri}
