"""From Python's arguments to the wire's start document."""

from collections.abc import Mapping
from typing import Any, TypedDict
from uuid import UUID

from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Retry, Seconds, milliseconds, retry_document

Key = str | int | UUID


class StepOptions(TypedDict, total=False):
    """Options of a step. Durations are seconds or timedeltas.

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


def unknown_options(given: Mapping[str, object], known: type) -> str:
    """A message about options that a TypedDict does not have; empty when it has all of them.

    Python checks no options that go by `**options`, and a misspelled one would be ignored.
    """
    names = ", ".join(sorted(given.keys() - known.__annotations__.keys()))
    return (
        f"{names}: there is no such option; there are {', '.join(known.__annotations__)}" if names else ""
    )


def check_options(given: Mapping[str, object], known: type) -> None:
    """Raise InvalidRequestError for options that a TypedDict does not have."""
    if unknown := unknown_options(given, known):
        raise InvalidRequestError(f"{unknown}.")


def key_text(key: Key) -> str:
    """A key as it goes over the wire: the text of what has one text only, in every process."""
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return int.__repr__(key)
    if isinstance(key, UUID):
        return str(key)
    raise InvalidRequestError(f"key: use a str, an int or a UUID, not {key!r}.")


def start_document(
    workflow_name: str, url: str, payload: Any, *, key: Key, options: StepOptions
) -> dict[str, Any]:
    """The body of a start that calls an endpoint. `payload` is plain JSON values."""
    document: dict[str, Any] = {
        "workflowName": workflow_name,
        "stepInvokeUrl": url,
        "idempotencyKey": key_text(key),
        "payload": payload,
    }
    if "retry" in options:
        document["retry"] = retry_document(options["retry"])
    if "delay" in options:
        document["delay"] = milliseconds("delay", options["delay"])
    if "deadline" in options:
        document["deadline"] = milliseconds("deadline", options["deadline"])
    if "attempt_timeout" in options:
        document["attemptTimeout"] = milliseconds("attempt_timeout", options["attempt_timeout"])
    return document


def filter_document(wanted: RunFilter) -> dict[str, str]:
    """A filter with the wire's names. Raises InvalidRequestError for members that it does not have."""
    check_options(wanted, RunFilter)
    names = {
        "workflow_name": "workflowName",
        "key_prefix": "keyPrefix",
        "created_after": "createdAfter",
        "created_before": "createdBefore",
    }
    return {names[name]: str(value) for name, value in wanted.items() if value is not None}
