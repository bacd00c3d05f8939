"""The documents that the API sends, as pydantic models: the schemas of its responses.

Servers build the documents without these models, because a step's answer must be fast. Tests check every
answer against the models. Times are RFC 3339 in UTC, durations integer milliseconds.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from atomic.protocol.dismissals import CAUSE, DISMISSED, DismissalDocument, RunCauseDocument
from atomic.protocol.enums import (
    FEATURES,
    EventWas,
    Kind,
    NotRedrivable,
    OnLost,
    OutcomeName,
    StatusName,
)
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.flow import FlowEntryDocument
from atomic.protocol.pauses import PAUSED, RESTS, PauseDocument, RestDocument
from atomic.protocol.singles import AttachedTo, DebounceDocument, SingletonDocument
from atomic.protocol.tags import TAGS
from atomic.protocol.wire import Document, RetryDocument

# A string, so that an older SDK can read the kinds of a newer server.
ErrorKindName = TypeAliasType(
    "ErrorKindName",
    Annotated[
        str,
        Field(
            description="Why it did not succeed, for programs; `docs/errors.md` has them all. Newer "
            "servers may add some.",
            examples=[kind.value for kind in ErrorKind],
        ),
    ],
)

_ERROR_TYPE: Final = Field(
    default=None, description="The name that the endpoint gave its error, from `Atomic-Error-Type`."
)


class ErasedRun(Document):
    """What is left of a run that was erased."""

    erased: str = Field(description="The id of the run.")


class RunSummary(Document):
    """A run in a list: its root step without payload and response."""

    id: str = Field(description="The root step's id.")
    run_id: str
    parent: str | None = Field(description="The step that this one belongs to; null for a root.")
    kind: Kind
    workflow_name: str
    step_name: str | None
    step_invoke_url: str | None
    idempotency_key: str
    status: StatusName
    generation: int = Field(description="Counts redrives, from 1.")
    attempts: int = Field(description="How often the endpoint was called.")
    error: str | None = Field(description="A sentence for people.")
    error_kind: ErrorKindName | None
    error_type: str | None = _ERROR_TYPE
    created_at: str
    due_at: str | None = Field(description="When a live step is next due.")
    finished_at: str | None
    child_run_id: str | None = Field(
        default=None, description="Of a step of kind `run`: the run that it starts."
    )
    started_by: str | None = Field(
        default=None, description="Of a root: the step of kind `run` that created it."
    )
    continued_from: str | None = Field(
        default=None, description="Of a root: the root of the run that it goes on for."
    )
    continued_as: str | None = Field(
        default=None,
        description="Of a root: the root of the run that goes on for it. Of a step of kind `run`: the last "
        "such root of its run.",
    )
    scheduled_at: str | None = Field(
        default=None, description="Of a root that a schedule has started: the time of the schedule."
    )
    restart_of: str | None = Field(
        default=None, description="Of a root: the run that was started again as this one."
    )
    cancel_by: str | None = Field(
        default=None,
        description="Only while it is being cancelled gracefully: when the rest is cancelled hard.",
    )
    paused: PauseDocument | None = PAUSED
    rests: RestDocument | None = RESTS
    cause: RunCauseDocument | None = CAUSE
    dismissed: DismissalDocument | None = DISMISSED
    tags: dict[str, str] | None = TAGS


class Progress(Document):
    """The progress of a run."""

    steps: dict[StatusName, int] = Field(description="Number of its steps by status, without the root.")
    attempts: int = Field(description="Calls of its endpoints so far, including the root's.")
    retries: int = Field(description="Retries so far. Calls that follow a suspension are not among them.")
    waits_for: list[str] = Field(description="What its live steps wait for, as in the filter `waitsFor`.")


class ListedRun(RunSummary):
    """A run in a list."""

    progress: Progress | None = Field(default=None, description="Only with `progress=true`.")


class DeadLetter(RunSummary):
    """A step that failed, which may be a root. `id` is the step's id, `finishedAt` when it failed."""

    response_status: int | None
    not_redrivable_reason: NotRedrivable | None = Field(
        description="Why it cannot be redriven: an ancestor went on without it and succeeded, or its run "
        "was cancelled; null when it can be redriven."
    )


class StepOutcome(RunSummary):
    """The answer to a start."""

    response: Any = Field(description="The endpoint's body: JSON if it can be parsed, otherwise text.")
    response_bytes: int | None = Field(default=None, description="Of a long one on a page of its run.")
    response_status: int | None
    response_content_type: str | None = None
    response_encoding: Literal["base64"] | None = None
    attached_to: AttachedTo | None = Field(
        default=None,
        description="Only in the answer to a start: the run whose answer this is. It has the key of the "
        "singleton, or is the newest of the burst.",
    )


class PostedStep(StepOutcome):
    """The answer to a post of a step."""

    callback_url: str | None = Field(
        default=None,
        description="Of an event: who has this URL may complete it. A path where the server does not know "
        "its own URL.",
    )


class CallbackOutcome(Document):
    """An event whose result was posted to its callback URL."""

    status: StatusName = Field(description="`succeeded`, or `failed` when it was rejected.")


# Older servers do not send these.
_CALLS_PER_SECOND: Final[Any] = Field(
    default=None,
    description="How many calls a second may begin: 0 while the server is paused, a few after that. Null: "
    "there is no such limit.",
)
_BUILD: Final = Field(
    default=None, description="The build of the application that answered, from `Atomic-Build`."
)
_UNUSED_RESULTS: Final = Field(
    default=0,
    description="Of how many of its steps the finished handler never asked for the result, from "
    "`Atomic-Unused-Results`. If there are any, its code has probably changed.",
)


class AttemptRecord(Document):
    """One HTTP call."""

    number: int
    generation: int
    started_at: str
    ended_at: str | None
    duration: int | None
    outcome: OutcomeName | None
    status: int | None
    error: str | None = Field(description="A sentence for people.")
    error_kind: ErrorKindName | None
    error_type: str | None = _ERROR_TYPE
    late: str | None = Field(
        description="Describes an answer that arrived after the attempt had lost its lease."
    )
    build: str | None = _BUILD
    unused_results: int = _UNUSED_RESULTS


class StepDocument(StepOutcome):
    """Everything about a step. `build` and `unusedResults` are those of its last attempt."""

    error_excerpt: str | None = Field(
        description="What the endpoint said, as it stands in `error`; null when it said nothing, or when "
        "the client hides it."
    )
    endpoint_key: str | None = Field(
        description="The `Idempotency-Key` that is sent to the endpoint; null for a step that calls "
        "nothing."
    )
    payload: Any
    payload_bytes: int | None = Field(default=None, description="Of a long payload, in place of itself.")
    delay: int = Field(
        default=0, description="As requested, in milliseconds; for a timer, how long it sleeps."
    )
    start_at: str | None = Field(default=None, description="When it was to start, if that was given.")
    start_by: str | None = Field(
        default=None, description="It fails unless its first attempt has begun by then."
    )
    deadline: int | None = Field(default=None, description="As requested, in milliseconds.")
    deadline_at: str | None
    heartbeat: int | None = Field(
        default=None, description="How long an open event lives without a heartbeat, in milliseconds."
    )
    heartbeat_by: str | None = Field(default=None, description="When the event expires without one.")
    attempt_timeout: int
    on_lost: OnLost = "repeat"
    retries_used: int
    retry: RetryDocument
    answer_by: str | None = Field(
        default=None, description="The endpoint answers later: when its answer is overdue."
    )
    waiting_for: list[str]
    flow: list[FlowEntryDocument] | None = Field(default=None, description="Only where it was given.")
    in_line: str | None = Field(
        default=None, description="The key of flow control under which it waits for a slot."
    )
    singleton: SingletonDocument | None = Field(default=None, description="Only where it was given.")
    debounce: DebounceDocument | None = Field(default=None, description="Only where it was given.")
    hooks: dict[str, str] | None = Field(default=None, description="Only where they were given.")
    trace_id: str
    build: str | None = _BUILD
    unused_results: int = _UNUSED_RESULTS
    attempt_log: list[AttemptRecord]


class RunDocument(Document):
    """A run with a page of its steps, oldest first."""

    run: RunSummary
    root: StepDocument
    steps: list[StepDocument]
    estimated_cost_usd: float | None = Field(
        description="Estimated AWS cost of the root and these steps by list price; null on other runtimes."
    )
    revision: str | None = Field(default=None, description="What `since` takes; null on later pages.")
    is_partial: bool = Field(default=False, description="Whether `steps` are only those that changed.")
    next: str | None = Field(description="Path of the next page of steps.")


class StepResult(Document):
    """What became of a step; what has not succeeded has neither `finishedAt` nor a response."""

    id: str
    kind: Kind
    status: StatusName
    step_name: str | None = None
    fingerprint: str = Field(description="SHA-256 of the payload as canonical JSON, in hex digits.")
    continued_as: str | None = Field(
        default=None,
        description="Of a step of kind `run`: the last root as which its run went on. The response is "
        "that of this root.",
    )
    finished_at: str | None = None
    response: Any = None
    response_status: int | None = None
    response_content_type: str | None = None
    response_encoding: Literal["base64"] | None = None
    callback_url: str | None = Field(default=None, description="Of an event: its callback URL.")


class Results(Document):
    """A page of a handler's steps, in the order of their ids."""

    parent: str
    steps: list[StepResult]
    next: str | None = Field(description="What `after` is for the next page; null on the last one.")


class RunList(Document):
    """A page of runs, newest first."""

    runs: list[ListedRun]
    next: str | None = Field(description="Path of the next page.")


class DeadLetterList(Document):
    """A page of dead letters, newest first."""

    dead_letters: list[DeadLetter]
    next: str | None = Field(description="Path of the next page.")


class SlowedOrigin(Document):
    """An origin that gets fewer attempts at once, since it seemed overloaded."""

    origin: str
    limit: int = Field(description="How many attempts may be under way at once.")
    under_way: int = Field(description="How many are, without handlers that wait for their own steps.")
    waiting: int = Field(description="How many steps wait for another attempt to end.")
    rests: int = Field(description="No attempt begins within this time (milliseconds).")


class Stats(Document):
    """Counts of current work; `runs` counts those created within the window."""

    window: int
    runs: dict[StatusName, int]
    live: dict[StatusName, int]
    live_of: Literal["steps", "runs"] = Field(
        description="What `live` counts: all live steps, or on AWS live runs, by the state of their roots."
    )
    dead_letters: int
    needs_action: int = Field(
        description="Failed runs that were not dismissed; on AWS, of the newest 4,000 failed runs."
    )
    oldest_due_at: str | None
    counted_at: str | None = Field(description="When many live steps were counted (on AWS), else null.")
    has_all_runs: bool = Field(description="False if `runs` has the least numbers (many runs on AWS).")
    calls_per_second: int | None = _CALLS_PER_SECOND
    slowed_origins: list[SlowedOrigin] = Field(
        description="Of this process of the embedded server; on AWS none."
    )


class ProbeResult(Document):
    """The result of one call of an endpoint."""

    response_status: int | None = Field(description="Null if no complete answer arrived.")
    error: str | None = Field(description="The error that a step would record; null for a success.")
    error_kind: ErrorKindName | None
    duration: int


class EventOutcome(Document):
    """An event whose result was posted by its name."""

    id: str
    run_id: str
    parent: str | None
    name: str
    status: StatusName = Field(description="`succeeded`, or `failed` when it was rejected.")
    was: EventWas = Field(
        description="What it was before: `open`, `early` (no handler has asked for it yet; its result is "
        "kept), or `done` (by the same result)."
    )


class RedriveResult(Document):
    """The result of a bulk redrive; repeat it while `more` is true, with `next` as the `cursor`."""

    redriven: int
    steps: list[str]
    more: bool
    next: str | None = Field(
        default=None, description="With tags: the `cursor` of the next request. Null: send the same again."
    )


class ProblemDocument(Document):
    """RFC 9457 problem details; some types add members. The header `Link` (`help`) leads to what to do."""

    type: str = Field(description="Stable, such as `urn:atomic:problem:not-found`.")
    title: str
    status: int
    detail: str = Field(description="Names the field and the cure.")


class SigningKey(Document):
    """A public key, as RFC 8037 writes it."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    alg: Literal["EdDSA"]
    kid: str
    x: str


class SigningKeys(Document):
    """The public keys that verify a client's calls; there are several during a rotation."""

    keys: list[SigningKey]


class Health(Document):
    """Whether the server can accept work."""

    status: Literal["ok", "unavailable"]
    version: str
    build: str | None = Field(description="The commit that the server is made of, if it is known.")
    features: list[str] = Field(
        description="What the server can do: ask before using one. Newer servers may add some.",
        examples=[list(FEATURES)],
    )
    calls_per_second: int | None = _CALLS_PER_SECOND
