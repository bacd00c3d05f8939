"""From Python's arguments to the wire's start document."""

from typing import Any, TypedDict

from pydantic_core import to_jsonable_python

from atomic.sdk.retry import Retry, Seconds, milliseconds, retry_document


class StepOptions(TypedDict, total=False):
    """What a step may be given. Durations are seconds or timedeltas.

    `retry` is a Retry, or the number of retries; `delay` the time before the first attempt; `deadline` the
    total time of the step; `attempt_timeout` the time of one HTTP attempt.
    """

    retry: Retry | int
    delay: Seconds
    deadline: Seconds
    attempt_timeout: Seconds


class RunFilter(TypedDict, total=False):
    """Which runs: by name, the beginning of the key, and RFC 3339 moments as in 2026-11-23T07:38:00Z."""

    workflow_name: str
    key_prefix: str
    created_after: str
    created_before: str


def jsonable(value: Any) -> Any:
    """A payload or result as plain JSON values: pydantic models, dataclasses, dates, UUIDs and more.

    Members of pydantic models go by their aliases. Raises ValueError for what has no JSON form.
    """
    return to_jsonable_python(value, by_alias=True)


def start_document(
    workflow_name: str, url: str, payload: Any, *, key: str, options: StepOptions
) -> dict[str, Any]:
    """The body of a start that calls an endpoint."""
    document: dict[str, Any] = {
        "workflowName": workflow_name,
        "stepInvokeUrl": url,
        "idempotencyKey": key,
        "payload": jsonable(payload),
    }
    if "retry" in options:
        document["retry"] = retry_document(options["retry"])
    if "delay" in options:
        document["delay"] = milliseconds(options["delay"])
    if "deadline" in options:
        document["deadline"] = milliseconds(options["deadline"])
    if "attempt_timeout" in options:
        document["attemptTimeout"] = milliseconds(options["attempt_timeout"])
    return document


def filter_document(wanted: RunFilter) -> dict[str, str]:
    """A filter with the wire's names."""
    names = {
        "workflow_name": "workflowName",
        "key_prefix": "keyPrefix",
        "created_after": "createdAfter",
        "created_before": "createdBefore",
    }
    return {names[name]: str(value) for name, value in wanted.items() if value is not None}
