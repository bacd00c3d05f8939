"""The closed sets of words on the wire: states, kinds, outcomes, scopes.

The domain, the SDK and the command line use these sets. The API's description is made from them, and
`make openapi` writes the copy of the dashboard. The names of the retry strategies are in `backoff`, beside
their meaning.

Each set is a `Literal`: users of the SDK write plain strings, and a type checker knows them. A set by which
the engine decides also has a `StrEnum`.
"""

from enum import StrEnum
from typing import Final, Literal, NamedTuple, get_args

Kind = Literal["http", "timer", "event", "value", "run"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

StatusName = Literal["pending", "running", "retrying", "waiting", "succeeded", "failed", "cancelled"]


class Status(StrEnum):
    """The status of a step."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


# How a state is coloured where people see it: nothing to do, at work, not well, ended well, ended badly.
Tone = Literal["calm", "busy", "warn", "good", "bad"]


class State(NamedTuple):
    """What a status means: whether the step is still live, and its tone."""

    is_live: bool
    tone: Tone


STATES: Final = {
    Status.PENDING: State(is_live=True, tone="calm"),
    Status.RUNNING: State(is_live=True, tone="busy"),
    Status.RETRYING: State(is_live=True, tone="warn"),
    Status.WAITING: State(is_live=True, tone="calm"),
    Status.SUCCEEDED: State(is_live=False, tone="good"),
    Status.FAILED: State(is_live=False, tone="bad"),
    Status.CANCELLED: State(is_live=False, tone="calm"),
}
LIVE: Final = frozenset(status for status, state in STATES.items() if state.is_live)
SETTLED: Final = frozenset(STATES) - LIVE

OutcomeName = Literal["succeeded", "retryable", "permanent", "suspended", "deferred", "no_answer"]


class OutcomeKind(StrEnum):
    """The kinds of outcome of an attempt. DEFERRED: Atomic refused what the endpoint's handler posted."""

    SUCCEEDED = "succeeded"
    RETRYABLE = "retryable"
    PERMANENT = "permanent"
    SUSPENDED = "suspended"
    DEFERRED = "deferred"
    NO_ANSWER = "no_answer"


# What becomes of a step whose attempt was lost: it is called again, or fails.
OnLost = Literal["repeat", "fail"]

# What becomes of the run that a step of kind `run` has started, when that step is cancelled.
OnCancel = Literal["cancel", "keep"]

# What a live run may wait for, by its steps: the result of an event; a resume of the run; the next attempt
# of a step; the outcome of a run that it has started; a slot of flow control; the end of a timer.
WaitsFor = Literal["event", "resume", "retry", "run", "slot", "timer"]
WAITS_FOR: Final[tuple[WaitsFor, ...]] = get_args(WaitsFor)

# The failures of a list of causes: runs that need action; runs that were dismissed; steps that failed, and
# whose handlers went on without them.
CauseState = Literal["open", "dismissed", "handled"]
CAUSE_STATES: Final[tuple[CauseState, ...]] = get_args(CauseState)

# What a server can do that servers of the first version could not; `GET /health` lists it.
Feature = Literal[
    "answer-later",
    "attempt-token",
    "audit",
    "bulk",
    "callbacks",
    "cancel-step",
    "causes",
    "child-runs",
    "continue-as",
    "counters",
    "endpoints",
    "erase",
    "error-type",
    "events",
    "export",
    "flow",
    "flow-steps",
    "graceful-cancel",
    "heartbeat",
    "hooks",
    "limits",
    "next-event",
    "on-lost",
    "pause",
    "restart",
    "results",
    "schedules",
    "start-token",
    "steps",
    "tags",
    "value",
    "wake",
    "workflow-pause",
    "workflow-retention",
]
FEATURES: Final[tuple[Feature, ...]] = get_args(Feature)

# When a suspended handler is called again: when any of the steps that it waits for has settled, when all
# have succeeded or one has failed, or when all have settled.
WakePolicy = Literal["any", "all", "settled"]
WAKE_POLICIES: Final[tuple[WakePolicy, ...]] = get_args(WakePolicy)

# Why a dead letter is not redriven: see `domain.leftovers`.
NotRedrivable = Literal["handled", "cancelled"]

# What an event was when its result was posted by name: open, not opened by any handler yet, or done before
# by the same result.
EventWas = Literal["open", "early", "done"]

# What a key may do: post steps; read; cancel, redrive and complete events; complete events and nothing
# else; manage the client's own keys.
Scope = Literal["start", "read", "act", "signal", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

# Who did what the audit log has: the holder of an API key, of a key of the operator, a caller whom AWS has
# authenticated, or anybody, where no keys are stored.
ActorKind = Literal["key", "operator", "iam", "anybody"]
ACTOR_KINDS: Final[tuple[ActorKind, ...]] = get_args(ActorKind)
# Of hooks. What a start may ask to be told of its run, and what a client may be told of.
RunEvent = Literal["run.succeeded", "run.failed", "run.cancelled", "run.paused"]
RUN_EVENTS: Final[tuple[RunEvent, ...]] = get_args(RunEvent)
HookEvent = Literal[RunEvent, "step.failed", "event.opened", "schedule.missed"]
HOOK_EVENTS: Final[tuple[HookEvent, ...]] = get_args(HookEvent)

# What one bulk does to each run that fits its filter.
BulkAction = Literal["cancel", "redrive", "dismiss", "pause", "resume", "due", "restart", "erase"]
# In which states of a run each changes something.
ACTS_ON: Final[dict[BulkAction, frozenset[Status]]] = {
    "cancel": LIVE,
    "redrive": frozenset({Status.FAILED}),
    "dismiss": frozenset({Status.FAILED}),
    "pause": LIVE,
    "resume": LIVE,
    "due": LIVE,
    "restart": SETTLED,
    "erase": SETTLED,
}

# Of flow control. How long a slot lasts.
FlowScope = Literal["attempt", "run"]
# Of singletons. What a start does while another run has its key.
OnBusy = Literal["attach", "skip", "cancel", "queue"]
# Of schedules. What a slot does while the run before goes on.
Overlap = Literal["skip", "allow", "queue", "cancel"]
OVERLAPS: Final[tuple[Overlap, ...]] = get_args(Overlap)
# Which slots that passed are started.
CatchUp = Literal["last", "all", "none"]
CATCH_UPS: Final[tuple[CatchUp, ...]] = get_args(CatchUp)
# How cron expressions are read when clocks are set.
Dst = Literal["once", "literal"]
