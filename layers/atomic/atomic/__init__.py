"""Atomic: durable workflows made of plain HTTP endpoints.

The names of `atomic.sdk` can be had from here as well. They are imported when they are first asked for: the
server needs none of them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atomic.sdk import (
        AsyncClient,
        AsyncContext,
        AtomicError,
        AttemptRecord,
        Call,
        CancelledError,
        Client,
        Context,
        InvalidRequestError,
        NoAnswerError,
        NonRetryable,
        NotAnOpenEventError,
        NotFinishedError,
        NotFoundError,
        PayloadMismatchError,
        RefusedError,
        Retry,
        RetryAfter,
        RunDocument,
        RunSummary,
        StepDocument,
        StepFailedError,
        StepOutcome,
        TooLargeError,
        TooManyRequestsError,
        UnauthorizedError,
        UnavailableError,
        UrlNotAllowedError,
        idempotent,
    )

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncContext",
    "AtomicError",
    "AttemptRecord",
    "Call",
    "CancelledError",
    "Client",
    "Context",
    "InvalidRequestError",
    "NoAnswerError",
    "NonRetryable",
    "NotAnOpenEventError",
    "NotFinishedError",
    "NotFoundError",
    "PayloadMismatchError",
    "RefusedError",
    "Retry",
    "RetryAfter",
    "RunDocument",
    "RunSummary",
    "StepDocument",
    "StepFailedError",
    "StepOutcome",
    "TooLargeError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
    "UrlNotAllowedError",
    "__version__",
    "idempotent",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import atomic.sdk

    value = getattr(atomic.sdk, name)
    globals()[name] = value
    return value
