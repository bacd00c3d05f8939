"""Hypothesis strategies and builders for the unit tests.

Property tests use no fixed seed, so that every run tries new examples. A failure is reproducible:
Hypothesis prints the example with its blob, and stores it in `.hypothesis/`.
"""

import json
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from atomic.domain import events
from atomic.domain.outcomes import Outcome, StepError, StoredBody
from atomic.domain.retry import RetryPolicy
from atomic.domain.steps import Step, StepSpec
from atomic.domain.transitions import begin, transition
from atomic.protocol import keys
from atomic.protocol.enums import OutcomeKind
from atomic.protocol.error_kinds import ErrorKind

NOW = 1_700_000_000_000
RETENTION = 1_000_000
RUN = keys.run_id("acme", "createUser", "k1")
OTHER = keys.step_id(RUN, "0" * 32)
ANSWERED_503 = StepError(ErrorKind.ENDPOINT_ANSWERED, "503")
GONE = StepError(ErrorKind.ENDPOINT_ANSWERED, "410", "gone")
NO_ROOM = StepError(ErrorKind.RESOURCES_EXHAUSTED, "no room")
WAITED_FOR_NOTHING = StepError(ErrorKind.WAITED_FOR_NOTHING)
SUCCEEDED = Outcome(kind=OutcomeKind.SUCCEEDED, status=200, response=StoredBody(b'{"a":1}', "json"))
RETRYABLE = Outcome(kind=OutcomeKind.RETRYABLE, status=503, error=ANSWERED_503)
PERMANENT = Outcome(kind=OutcomeKind.PERMANENT, status=410, error=GONE, response=StoredBody(b"no", "text"))
TIMED_OUT = Outcome(kind=OutcomeKind.RETRYABLE, error=StepError(ErrorKind.TIMED_OUT, "20000"))
REFUSED = Outcome(kind=OutcomeKind.DEFERRED, status=503, error=ANSWERED_503)
SUSPENDED = Outcome(kind=OutcomeKind.SUSPENDED, status=202, waiting_for=(OTHER,))


def examples(count: int) -> settings:
    """Settings for that many examples, without a time limit for each."""
    return settings(max_examples=count, deadline=None, print_blob=True)


# JSON values, from small alphabets, so that two draws are often equal or similar.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", "a", "1", "1.0", "x.0", "1e+5", "-0.0", "\x00", "\u2028", "é", "e\u0301", "😀"]
)
numbers = (
    st.sampled_from([0, 1, -1, 1.0, -0.0, 1e16, 10**16, 1e19, 10**19, 2**64 - 1, -(2**63), 0.1, 1e300])
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def meaning(value: Any) -> Any:
    """A JSON value in a form that Python compares as JSON does: true differs from 1, and 1.0 equals 1."""
    match value:
        case bool() | None | str():
            return value.__class__.__name__, value
        case int() | float():
            return "number", Fraction(value)
        case list():
            return "array", tuple(meaning(item) for item in value)
        case _:
            return "object", frozenset((name, meaning(member)) for name, member in value.items())


def spelling(draw: st.DrawFn, value: Any) -> str:
    """One of the possible spellings of a JSON value."""
    gap = draw(st.sampled_from(["", " ", "\n\t"]))
    match value:
        case bool() | None:
            return gap + json.dumps(value)
        case str():
            return gap + json.dumps(value, ensure_ascii=draw(st.booleans()))
        case int() | float():
            return gap + draw(st.sampled_from(_number_spellings(value)))
        case list():
            return gap + "[" + ",".join(spelling(draw, item) for item in value) + gap + "]"
        case _:
            names = draw(st.permutations(list(value)))
            members = [f"{json.dumps(name)}:{spelling(draw, value[name])}" for name in names]
            return "{" + gap + ",".join(members) + "}" + gap


def _number_spellings(value: int | float) -> list[str]:
    ways = [repr(value)]
    if isinstance(value, float):
        ways += [f"{value:.17e}", repr(value).replace("e", "E")]
    same = math.isfinite(float(value)) and float(value) == value
    if same and value == int(value) and -(2**63) <= value < 2**64:
        ways += [str(int(value)), f"{int(value)}.0", f"{int(value)}.000e0", repr(float(value))]
    return ways


# Steps.
def spec(**changes: Any) -> StepSpec:
    """A step's spec with valid defaults."""
    values = {
        "client_id": "acme",
        "run_id": RUN,
        "identity": keys.identity("acme", "createUser", "", "https://app.example/s", "", "k1"),
        "workflow_name": "createUser",
        "url": "https://app.example/s",
        "idempotency_key": "k1",
        "payload": b"null",
        "fingerprint": "f" * 64,
        "retry": RetryPolicy(count=2, back_off_ms=1000, jitter="none"),
        "retention_ms": RETENTION,
        "trace_id": "1" * 32,
    }
    return StepSpec(**{**values, **changes})


def running(**changes: Any) -> Step:
    """A step in its first attempt, begun at NOW under the nonce "n1"."""
    return begin(spec(**changes), keys.ROOT, NOW, "n1")


def ended(step: Step, outcome: Outcome, now_ms: int, **more: Any) -> Step:
    """The step after its running attempt ended with this outcome."""
    assert step.nonce is not None
    event = events.Ended(nonce=step.nonce, outcome=outcome, **{"jitter": 0.5, **more})
    return transition(step, event, now_ms)


def claimed(step: Step, nonce: str = "n2") -> Step:
    """The step after a claim at its due time."""
    assert step.due_at_ms is not None
    return transition(step, events.Claimed(nonce), step.due_at_ms)


def failed(**changes: Any) -> Step:
    """A dead letter."""
    return ended(running(**changes), PERMANENT, NOW + 100)


def waiting(**changes: Any) -> Step:
    """A step that waits for OTHER."""
    return ended(running(**changes), SUSPENDED, NOW + 100)


def loses(step: Step, times: int) -> Step:
    """The step after that many lost attempts, each followed by another claim."""
    for number in range(times):
        step = claimed(step, f"lost{number}")
    return step


def is_same_but_version(one: Step, other: Step) -> bool:
    """Whether two rows are equal except for their version."""
    return replace(one, version=0) == replace(other, version=0)
