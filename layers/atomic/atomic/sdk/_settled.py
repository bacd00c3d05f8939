"""Turns a settled step that was read into a result, or into the error that a post would raise."""

from atomic.protocol.documents import StepDocument
from atomic.protocol.error_kinds import ErrorKind
from atomic.sdk.errors import CancelledError, StepCancelledError, StepFailedError


def settled(step: StepDocument) -> StepDocument:
    """The step. Raises StepFailedError for a failed step, and CancelledError for a cancelled one."""
    if step.status == "failed":
        raise StepFailedError(
            f"The step failed at attempt {step.attempts}: {(step.error or '').rstrip('.')}.",
            members={
                "id": step.id,
                "lastStatus": step.response_status,
                "lastError": step.error,
                "lastErrorKind": step.error_kind,
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
    return step
