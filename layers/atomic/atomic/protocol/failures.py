"""The problem of a step that failed, as its readers pass it on: which step, why, what its endpoint said."""

from collections.abc import Mapping
from typing import Any, Final

from atomic.protocol.problems import EVENT_EXPIRED, STEP_FAILED

# Workflows may be nested as deep; what is below that is told by the step it happened in.
_NESTED_MAX: Final = 50


def with_excerpt(found: str, excerpt: str) -> str:
    """The sentence of an error: what Atomic found, then what the endpoint said where it said something."""
    return f"{found}: {excerpt}" if excerpt else found


def reason(problem: Mapping[str, Any]) -> str:
    """What the endpoint said; where it said nothing, what Atomic found."""
    return str(problem.get("lastErrorExcerpt") or problem.get("lastError") or "")


def innermost(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the problem of a step that failed because of another one, and so on, the last problem."""
    for _ in range(_NESTED_MAX):
        below = problem.get("response")
        if not isinstance(below, dict) or not is_step_failed(below):
            break
        problem = below
    return problem


def cause(problem: Mapping[str, Any]) -> str:
    """The problem of a step that failed in a sentence: why, and in brackets which step and how often."""
    step = problem.get("stepName") or problem.get("stepInvokeUrl") or problem.get("id")
    attempts = problem.get("attempts")
    # An event that nobody completed was called by nobody.
    failed = f"step {step} failed at attempt {attempts}" if attempts else f"step {step}"
    excerpt = str(problem.get("lastErrorExcerpt") or "")
    if excerpt:
        found = str(problem.get("lastError") or "").removesuffix(with_excerpt("", excerpt))
        failed = f"{failed}: {found}"
    return f"{reason(problem) or 'no answer'} ({failed})"


def is_step_failed(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is the problem of a step that failed, or expired, as a start is told it."""
    return document.get("type") in {STEP_FAILED.uri, EVENT_EXPIRED.uri}
