"""What a settled step means for its caller."""

from atomic.protocol.documents import StepDocument
from atomic.protocol.error_kinds import ErrorKind
from atomic.sdk.errors import FAILURES, CancelledError, StepCancelledError, StepFailedError


def check_success(step: StepDocument) -> None:
    """Raise StepFailedError for a step that has failed, and CancelledError for a cancelled one."""
    if step.status == "failed":
        when = f"at attempt {step.attempts}" if step.attempts else "before its first attempt"
        raise FAILURES.get(step.error_kind or "", StepFailedError)(
            f"The step failed {when}: {(step.error or '').rstrip('.')}.",
            members={
                "id": step.id,
                "lastStatus": step.response_status,
                "lastError": step.error,
                "lastErrorKind": step.error_kind,
                "lastErrorType": step.error_type,
                "lastErrorExcerpt": step.error_excerpt,
                "attempts": step.attempts,
                "stepInvokeUrl": step.step_invoke_url,
                "stepName": step.step_name,
                "response": step.response,
            },
        )
    if step.status == "cancelled":
        is_alone = step.error_kind == ErrorKind.STEP_CANCELLED
        raise (StepCancelledError if is_alone else CancelledError)("The step was cancelled.")
