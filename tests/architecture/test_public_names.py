"""The list of names that users may import, so that a review shows each addition and removal."""

import subprocess
import sys

import pytest

import atomic
import atomic.sdk
from atomic.sdk import errors

NAMES = [
    "AsyncClient",
    "AsyncContext",
    "AsyncRunHandle",
    "AtomicError",
    "AttemptRecord",
    "Batch",
    "BatchItem",
    "BusyError",
    "Call",
    "CancelledError",
    "Client",
    "Codec",
    "ConditionNotMetError",
    "Context",
    "DeadLetter",
    "Debounce",
    "DecodingError",
    "End",
    "EventId",
    "EventOutcome",
    "EventRejectedError",
    "EventTimeoutError",
    "Flow",
    "HandlerCall",
    "HeartbeatMissedError",
    "Hooks",
    "InvalidRequestError",
    "NoAnswerError",
    "NonRetryable",
    "AttemptOverError",
    "NotAnOpenEventError",
    "NotFinishedError",
    "NotFoundError",
    "NotRedrivableError",
    "Operation",
    "PayloadMismatchError",
    "RefusedError",
    "Retry",
    "RetryAfter",
    "RunCycleError",
    "RunDiffersError",
    "RunCancelledError",
    "RunDocument",
    "RunExistsError",
    "RunFailedError",
    "RunHandle",
    "RunSummary",
    "SagaFailedError",
    "SerializationError",
    "Singleton",
    "StartExpiredError",
    "StepCancelledError",
    "StepDocument",
    "StepFailedError",
    "StepOutcome",
    "TooDeepError",
    "TooLargeError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
    "UnknownKeyError",
    "UrlNotAllowedError",
    "ValueAttempt",
    "Where",
    "idempotent",
]
CLIENT = [
    "answer",
    "answer_failed",
    "audit",
    "bulk",
    "cancel",
    "cancel_step",
    "causes",
    "clear_retention",
    "client_id",
    "close",
    "codec",
    "complete",
    "connection",
    "counters",
    "dead_letters",
    "dismiss",
    "due",
    "endpoints",
    "erase",
    "export",
    "flow_keys",
    "get",
    "heartbeat",
    "heartbeat_step",
    "hooks",
    "limits",
    "patience_s",
    "pause",
    "pause_workflow",
    "paused_workflows",
    "redrive",
    "redrive_all",
    "reject",
    "restart",
    "resume",
    "resume_workflow",
    "retentions",
    "run_flow",
    "runs",
    "schedules",
    "set_retention",
    "signal",
    "start",
    "start_token",
    "step",
    "undismiss",
    "wait",
    "workflow_state",
    "workflows",
]
CONTEXT = [
    "attempt",
    "callback",
    "cancelled",
    "continue_as",
    "event",
    "events",
    "gather",
    "idempotency_key",
    "is_replaying",
    "logger",
    "map",
    "now",
    "open_event",
    "parallel",
    "race",
    "random",
    "run",
    "run_id",
    "run_workflow",
    "saga",
    "sleep",
    "sleep_until",
    "start_run",
    "step",
    "step_id",
    "unfinished",
    "until",
    "unused_results",
    "uuid",
    "version",
    "workflow_name",
]


def test_the_names_of_the_sdk() -> None:
    assert sorted(atomic.sdk.__all__) == sorted(NAMES)
    assert all(hasattr(atomic.sdk, name) for name in NAMES)


def test_the_package_has_the_same_names() -> None:
    assert sorted(atomic.__all__) == sorted([*NAMES, "__version__"])
    for name in NAMES:
        assert getattr(atomic, name) is getattr(atomic.sdk, name)
    with pytest.raises(AttributeError, match="has no attribute 'Clinet'"):
        _ = atomic.Clinet


def test_both_clients_have_the_same_methods() -> None:
    for kind in (atomic.Client, atomic.AsyncClient):
        assert sorted(name for name in dir(kind("http://127.0.0.1")) if name[0] != "_") == CLIENT


def test_both_contexts_have_the_same_methods() -> None:
    call = atomic.Call(run_id="r", step_id="s", workflow_name="w", idempotency_key="k", attempt=1, url="u")
    plain = atomic.Context(call, atomic.Client(), 1.0)
    asynchronous = atomic.AsyncContext(call, atomic.AsyncClient(), 1.0)
    of_plain = {"call", "call_handler", "call_workflow"}
    assert sorted({name for name in dir(plain) if name[0] != "_"} - of_plain) == CONTEXT
    assert sorted({name for name in dir(asynchronous) if name[0] != "_"} - {"await_handler"}) == CONTEXT


def test_every_framework_has_the_same_names() -> None:
    for name in ("aws_lambda", "django", "fastapi", "flask", "starlette"):
        module = __import__(f"atomic.sdk.{name}", fromlist=["step"])
        assert module.__all__ == ["AsyncContext", "Call", "Context", "Endpoints", "step", "workflow"]
        assert all(hasattr(module, known) for known in module.__all__)
        own = {known for known in dir(module.Endpoints) if known[0] != "_"}
        assert own - {"urlpatterns"} == {"scheduled", "step", "workflow"}


def test_what_else_may_be_imported() -> None:
    for name, names in {
        "dynamodb": {"idempotent"},
        "otel": {"OpenTelemetryHooks"},
        "idempotency": {"TABLE", "create_table", "idempotent"},
    }.items():
        module = __import__(f"atomic.sdk.{name}", fromlist=["idempotent"])
        assert names <= set(vars(module))


def test_every_error_says_what_to_do() -> None:
    for name in NAMES:
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, errors.AtomicError):
            assert len(str(kind("Wrong."))) > len("Wrong. ") + 20, name


def test_the_server_does_not_import_the_sdk() -> None:
    code = "import sys, atomic.entrypoints.embedded.server; assert 'atomic.sdk' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
