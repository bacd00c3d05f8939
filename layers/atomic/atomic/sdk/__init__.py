"""The Python SDK: start workflows from anywhere, and write them as ordinary functions.

`Client` and `AsyncClient` start and read workflows. The module of a web framework (`atomic.sdk.fastapi`,
`.starlette`, `.flask`, `.django`, `.aws_lambda`; all have the same names) serves functions as workflows and
steps: `Endpoints` serves many below one prefix, `@workflow` and `@step` one each. `idempotent` makes an
effect happen once for each step.
"""

from atomic.protocol.documents import (
    AttemptRecord,
    DeadLetter,
    EventOutcome,
    RunDocument,
    RunSummary,
    StepDocument,
    StepOutcome,
)
from atomic.sdk._calls.async_child_runs import AsyncRunHandle
from atomic.sdk._calls.batches import Batch, BatchItem
from atomic.sdk._calls.blocking_child_runs import RunHandle
from atomic.sdk._calls.call import Call
from atomic.sdk._calls.hooks import End, HandlerCall, Hooks, Operation, ValueAttempt
from atomic.sdk._wire.codecs import Codec, Where
from atomic.sdk._wire.events import EventId
from atomic.sdk.async_client import AsyncClient
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.client import Client
from atomic.sdk.context import Context
from atomic.sdk.errors import (
    AtomicError,
    AttemptOverError,
    BusyError,
    CancelledError,
    ConditionNotMetError,
    DecodingError,
    EventRejectedError,
    EventTimeoutError,
    HeartbeatMissedError,
    InvalidRequestError,
    NoAnswerError,
    NonRetryable,
    NotAnOpenEventError,
    NotFinishedError,
    NotFoundError,
    NotRedrivableError,
    PayloadMismatchError,
    RefusedError,
    RetryAfter,
    RunCancelledError,
    RunCycleError,
    RunDiffersError,
    RunExistsError,
    RunFailedError,
    SagaFailedError,
    SerializationError,
    StartExpiredError,
    StepCancelledError,
    StepFailedError,
    TooDeepError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnknownKeyError,
    UrlNotAllowedError,
)
from atomic.sdk.flow import Flow
from atomic.sdk.idempotency import idempotent
from atomic.sdk.retry import Retry
from atomic.sdk.singles import Debounce, Singleton

__all__ = [
    "AsyncClient",
    "AsyncContext",
    "AsyncRunHandle",
    "AtomicError",
    "AttemptOverError",
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
    "NotAnOpenEventError",
    "NotFinishedError",
    "NotFoundError",
    "NotRedrivableError",
    "Operation",
    "PayloadMismatchError",
    "RefusedError",
    "Retry",
    "RetryAfter",
    "RunCancelledError",
    "RunCycleError",
    "RunDiffersError",
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
