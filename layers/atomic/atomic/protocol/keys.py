"""Identities of steps, and the ids made of them.

Identity = (clientId, workflowName, parent, stepInvokeUrl, stepName, idempotencyKey). Parts are
length-prefixed before hashing, so no choice of names makes two identities equal ("a#b" + "c" and
"a" + "b#c").

A run id comes from (clientId, workflowName, idempotencyKey). A step id is its run's id, a hyphen, and the
step's position in the run, so an id alone determines partition and row on every runtime. The position
begins with digits that depend on the parent alone, so the steps of one handler are one range of ids.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from atomic.protocol.constants import KEY_MAX_CHARS

ROOT: Final = "root"
_HASH: Final = "[0-9a-f]{32}"
_RUN_ID: Final = re.compile(rf"run_{_HASH}")
STEP_ID_CHARS: Final = len("run_") + 32 + len("-") + 32
_STEP_ID: Final = re.compile(rf"(run_{_HASH})-({ROOT}|{_HASH})")
_CAUSE_ID: Final = re.compile("[0-9a-f]{16}")
# Above the positions of all steps of a run, and below those of its notes, which are no steps.
AFTER_STEPS: Final = "s"
_NOTE: Final = "x"
SCHEDULE: Final = "schedule/"
# Two parents with the same digits share a range, so readers of a range compare the parents.
_PREFIX_CHARS: Final = 8
_SENT_KEY_CHARS: Final = 200
_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{KEY_MAX_CHARS}}}")
_RESTARTED: Final = re.compile(r"(.+)/([1-9][0-9]{0,8})")
# How the names of workflows begin whose runs Atomic itself starts.
OF_BULKS: Final = "bulk/"
OF_HOOKS: Final = "hook/"
RESERVED_NAMES: Final = (OF_BULKS, OF_HOOKS)
# These path segments are routes of the server, so no client may have one as its id.
RESERVED_CLIENT_IDS: Final = frozenset(
    {"audit", "callbacks", "clients", "dashboard", "docs", "health", "iam", "metrics", "static"}
)
CLIENT_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_CLIENT_ID: Final = re.compile(CLIENT_ID_PATTERN)


# Cached, since the steps of a run are usually posted at about the same time.
@lru_cache(maxsize=1024)
def run_id(client_id: str, workflow_name: str, idempotency_key: str) -> str:
    """`run_` and 32 hex digits (128 bit)."""
    return f"run_{_digest(client_id, workflow_name, idempotency_key)}"


def identity(
    client_id: str, workflow_name: str, parent: str, url: str, step_name: str, idempotency_key: str
) -> str:
    """32 hex digits for the whole identity: 8 of the parent alone, 24 (96 bit) of all parts.

    `parent` is a step id, empty for a run's root.
    """
    own = _digest(client_id, workflow_name, parent, url, step_name, idempotency_key)
    return children_prefix(parent) + own[_PREFIX_CHARS:]


def called_by_link(run: str, *, detached: bool) -> str:
    """What takes the place of the URL in the identity of a step that starts this run.

    One that waits for the run is another step than one that does not: their outcomes differ.
    """
    return f"{run} detached" if detached else run


# Cached, since the steps of a handler are usually posted at about the same time.
@lru_cache(maxsize=1024)
def children_prefix(parent: str) -> str:
    """The 8 hex digits with which the positions of the parent's own steps begin."""
    return _digest(parent)[:_PREFIX_CHARS]


def note_position(*parts: str) -> str:
    """The position of a note of a run: a row that lists of its steps do not have."""
    return _NOTE + _digest(*parts)


def trace_of(run: str) -> str:
    """The trace id of a run that comes without a caller's trace: its own digits have the form of one."""
    return run.removeprefix("run_")


def steps_range(run: str) -> tuple[str, str]:
    """Bounds of the ids of the steps of a run: below the first and above the last one."""
    return step_id(run, ""), step_id(run, AFTER_STEPS)


def run_range(run: str) -> tuple[str, str]:
    """Bounds of all ids of rows of a run: those of its steps, and those above them."""
    return f"{run}-", f"{run}."


def children_range(parent: str) -> tuple[str, str]:
    """Bounds of the ids of the step's children: below the first and above the last one."""
    before = step_id(run_of(parent), children_prefix(parent))
    return before, f"{before}~"


def is_in_children_range(parent: str, step: str) -> bool:
    """Whether the step may be one of this parent's: its id is in their range."""
    first, end = children_range(parent)
    return first < step < end


def lot(step: str, *seed: str) -> str:
    """A lot that the step draws: its order among those of other steps says nothing of what they are."""
    return _digest(step, *seed)


def share(run_id: str) -> float:
    """From 0 to 1, evenly over all runs, and always the same for a run."""
    return int(lot(run_id)[:13], 16) / 16**13


def scoped_key(idempotency_key: str, identity: str) -> str:
    """A key for the endpoint that no other identity with this key sends: at most 217 characters."""
    return f"{idempotency_key[:_SENT_KEY_CHARS]}-{identity[-16:]}"


def restart_key(idempotency_key: str, *, is_restart: bool) -> str:
    """The key of a run that starts the run with this key again: `k`, `k/2`, `k/3`.

    `is_restart`: that run is a restart itself, so its number is counted on. Other keys may end like that.
    A key that would be too long is shortened, and ends with its digest.
    """
    found = _RESTARTED.fullmatch(idempotency_key) if is_restart else None
    first, number = (idempotency_key, 1) if found is None else (found[1], int(found[2]))
    key = f"{first}/{number + 1}"
    return key if is_idempotency_key(key) else f"{scoped_key(first, _digest(first))}/{number + 1}"


def step_id(run: str, position: str) -> str:
    """The id of the step at a position (an identity, or ROOT) of a run."""
    return f"{run}-{position}"


def run_of(step: str) -> str:
    """The run id inside a step id."""
    return step.rpartition("-")[0]


def position_of(step: str) -> str:
    """The position inside a step id."""
    return step.rpartition("-")[2]


def root_of(run: str) -> str:
    """The id of a run's root step."""
    return step_id(run, ROOT)


def schedule_id(client_id: str, name: str) -> str:
    """What the wake-ups of a schedule name; neither part has a slash."""
    return f"{SCHEDULE}{client_id}/{name}"


def is_schedule_id(text: str) -> bool:
    """Whether the text names a schedule, and no step."""
    return text.startswith(SCHEDULE)


def steps_among(waiters: Iterable[str]) -> list[str]:
    """The steps among those that wait for a root; the others are schedules."""
    return [waiter for waiter in waiters if not is_schedule_id(waiter)]


def schedule_of(text: str) -> tuple[str, str]:
    """The client and the name inside the id of a schedule. Raises ValueError for any other text."""
    _, client_id, name = text.split("/")
    return client_id, name


def is_run_id(text: str) -> bool:
    """Whether the text has the form of a run id."""
    return _RUN_ID.fullmatch(text) is not None


def is_step_id(text: str) -> bool:
    """Whether the text has the form of a step id."""
    return _STEP_ID.fullmatch(text) is not None


def is_cause_id(text: str) -> bool:
    """Whether the text has the form of the id of a cause."""
    return _CAUSE_ID.fullmatch(text) is not None


def is_idempotency_key(text: str) -> bool:
    """Whether the text may be a key: 1 to 255 visible ASCII characters."""
    return _KEY.fullmatch(text) is not None


def is_client_id(text: str) -> bool:
    """Whether the text may be a client's id: 1 to 64 letters, digits, `_`, `-`, and not a route's name."""
    return _CLIENT_ID.fullmatch(text) is not None and text not in RESERVED_CLIENT_IDS


def _digest(*parts: str) -> str:
    framed = bytearray()
    for part in parts:
        encoded = part.encode()
        framed += len(encoded).to_bytes(4, "big")
        framed += encoded
    return hashlib.sha256(framed).hexdigest()[:32]
