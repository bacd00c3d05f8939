"""Calls of the library's steps as plain Python, with their retries."""

from collections.abc import Callable, Coroutine
from inspect import iscoroutine
from typing import Any

from atomic.sdk import Call, NonRetryable


def run_step(function: Callable[..., Any], payload: Any, key: str, retries: int) -> Any:
    """Call the step until it succeeds; return the outcome of the last attempt."""
    code = function.__code__
    takes_call = "call" in code.co_varnames[: code.co_argcount]
    attempt = 1
    while True:
        given = {"call": _call(code.co_name, key, attempt)} if takes_call else {}
        try:
            outcome = function(payload, **given)
            return sent(outcome) if iscoroutine(outcome) else outcome
        except Exception as error:
            if isinstance(error, NonRetryable) or attempt > retries:
                raise
        attempt += 1


def _call(name: str, key: str, attempt: int) -> Call:
    return Call(
        run_id="run",
        step_id=f"step-{key}",
        workflow_name="plain",
        idempotency_key=key,
        attempt=attempt,
        url=f"https://app.test/{name}",
    )


def sent(work: Coroutine[Any, None, Any]) -> Any:
    """Run a coroutine that awaits nothing; return its result."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("what should await nothing waits")
