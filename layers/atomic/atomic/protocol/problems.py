"""The errors of the API: RFC 9457 problem details with stable types.

A problem's type is `urn:atomic:problem:<name>`; its detail names the field and the cure. A body contains
only what the caller sent or owns, and nothing internal to the server.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MEDIA_TYPE: Final = "application/problem+json"
# The prefix of each type.
URI: Final = "urn:atomic:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of refusal: its stable name, HTTP status and title."""

    name: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        """The `type` member of the body."""
        return URI + self.name


INVALID_REQUEST: Final = ProblemType("invalid-request", 400, "The request is not valid")
UNAUTHORIZED: Final = ProblemType("unauthorized", 401, "No valid API key")
URL_NOT_ALLOWED: Final = ProblemType("url-not-allowed", 403, "The URL is not allowed")
ATTEMPT_TOKEN_REQUIRED: Final = ProblemType(
    "attempt-token-required", 403, "Only an attempt of the step may do this"
)
BEYOND_TOKEN: Final = ProblemType("beyond-token", 403, "The start token does not allow this start")
FOREIGN_ORIGIN: Final = ProblemType("foreign-origin", 403, "Requests from pages of other sites are refused")
FOREIGN_CALLER: Final = ProblemType("foreign-caller", 403, "Callers outside of the network are refused")
NOT_FOUND: Final = ProblemType("not-found", 404, "Not found")
METHOD_NOT_ALLOWED: Final = ProblemType("method-not-allowed", 405, "The method is not allowed here")
CANCELLED: Final = ProblemType("cancelled", 409, "The step was cancelled")
STEP_CANCELLED: Final = ProblemType("step-cancelled", 409, "The step was cancelled, and not its run")
IS_ROOT: Final = ProblemType("is-root", 409, "The step is the root of its run")
ATTEMPT_OVER: Final = ProblemType("attempt-over", 409, "The attempt is over")
NOT_AN_OPEN_EVENT: Final = ProblemType("not-an-open-event", 409, "The step takes no result")
TOO_DEEP: Final = ProblemType("too-deep", 409, "Too many runs start each other")
RUN_EXISTS: Final = ProblemType("run-exists", 409, "The run exists already")
BUSY: Final = ProblemType("busy", 409, "Another run has the key of the singleton")
RUN_CYCLE: Final = ProblemType("run-cycle", 409, "The run would wait for itself")
NOT_REDRIVABLE: Final = ProblemType("not-redrivable", 409, "The step can no longer be redriven")
RUN_ENDED: Final = ProblemType("run-ended", 409, "The run has ended")
RUN_LIVE: Final = ProblemType("run-live", 409, "The run has not ended")
NOT_FAILED: Final = ProblemType("not-failed", 409, "The run has not failed")
NOT_RESCHEDULABLE: Final = ProblemType("not-reschedulable", 409, "The step waits for no moment")
EVENT_ENDED: Final = ProblemType("event-ended", 410, "The event has ended otherwise")
TOO_MANY_SCHEDULES: Final = ProblemType("too-many-schedules", 409, "Too many schedules")
TOO_MANY_HOOKS: Final = ProblemType("too-many-hooks", 409, "Too many hooks")
TOO_MANY_PAUSES: Final = ProblemType("too-many-pauses", 409, "Too many workflows are paused")
TOO_MANY_RETENTIONS: Final = ProblemType(
    "too-many-retentions", 409, "Too many workflows have retentions of their own"
)
CLIENT_CONFLICT: Final = ProblemType("client-conflict", 409, "Conflicts with the client's current state")
TOO_LARGE: Final = ProblemType("too-large", 413, "Too large")
MISDIRECTED: Final = ProblemType("misdirected", 421, "The server does not accept this host name")
PRECONDITION_FAILED: Final = ProblemType("precondition-failed", 412, "Changed meanwhile")
PAYLOAD_MISMATCH: Final = ProblemType("payload-mismatch", 422, "Same identity, different payload")
STEP_FAILED: Final = ProblemType("step-failed", 424, "The step failed")
EVENT_EXPIRED: Final = ProblemType("event-expired", 424, "The event was not completed in time")
EVENT_REJECTED: Final = ProblemType("event-rejected", 424, "The event was rejected")
TOO_MANY_REQUESTS: Final = ProblemType("too-many-requests", 429, "Too many requests")
INTERNAL: Final = ProblemType("internal", 500, "Internal error")
UNAVAILABLE: Final = ProblemType("unavailable", 503, "Temporarily unavailable")
STORAGE_FULL: Final = ProblemType("storage-full", 507, "Storage quota exceeded")
NOT_FINISHED: Final = ProblemType("not-finished", 504, "Not finished in time")

ALL: Final = tuple(value for value in globals().copy().values() if isinstance(value, ProblemType))


def name_of(document: Mapping[str, Any]) -> str:
    """The name of the type of a problem document; empty when it is none of Atomic's."""
    uri = str(document.get("type"))
    return uri.removeprefix(URI) if uri.startswith(URI) else ""


@dataclass(eq=False)
class Problem(Exception):
    """Refuse a request. `members` are extension members of the body, `headers` go beside it."""

    type: ProblemType
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.type.name}: {self.detail}"

    def document(self) -> dict[str, Any]:
        """The body; its members are what orjson writes."""
        standard = {
            "type": self.type.uri,
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
        }
        # Standard members come first, and `members` cannot overwrite them.
        return standard | dict(self.members) | standard


def not_found() -> Problem:
    """The one answer for what does not exist and for what belongs to another client."""
    return Problem(
        NOT_FOUND,
        "This client has nothing with this id or at this path. "
        "Check both, and that the client's id is your own.",
    )


def invalid(where: str, message: str) -> Problem:
    """A 400 about one field: `where` names it, the message says what to change."""
    return Problem(
        INVALID_REQUEST, f"{where}: {message}", {"errors": [{"field": where, "message": message}]}
    )


def too_long(where: str, max_bytes: int) -> Problem:
    """A 413 about a JSON value: `where` names it."""
    return Problem(
        TOO_LARGE,
        f"{where}: {max_bytes} bytes of compact JSON are allowed; store it elsewhere and send a reference.",
    )
