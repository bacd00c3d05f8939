"""The problem of a step that failed, as its readers pass it on: which step, why, what its endpoint said."""

from collections.abc import Mapping
from typing import Any, Final

from atomic.protocol.problems import EVENT_EXPIRED, EVENT_REJECTED, STEP_FAILED

# How deep failures of nested workflows are followed; a deeper one is described by its parent.
_NESTED_MAX: Final = 50
_TYPES: Final = frozenset({STEP_FAILED.uri, EVENT_EXPIRED.uri, EVENT_REJECTED.uri})


def with_excerpt(found: str, excerpt: str) -> str:
    """The sentence of an error: what Atomic found, then what the endpoint said if it said something."""
    return f"{found}: {excerpt}" if excerpt else found


def reason(problem: Mapping[str, Any]) -> str:
    """What the endpoint said; if it said nothing, what Atomic found."""
    return str(problem.get("lastErrorExcerpt") or problem.get("lastError") or "")


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
    step = problem.get("stepName") or problem.get("stepInvokeUrl") or problem.get("id")
    attempts = problem.get("attempts")
    # An event has no calls.
    failed = f"step {step} failed at attempt {attempts}" if attempts else f"step {step}"
    excerpt = str(problem.get("lastErrorExcerpt") or "")
    if excerpt:
        found = str(problem.get("lastError") or "").removesuffix(with_excerpt("", excerpt))
        failed = f"{failed}: {found}"
    return f"{reason(problem) or 'no answer'} ({failed})"


def is_step_failed(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is the problem of a step that failed or of an event without a result."""
    return document.get("type") in _TYPES
