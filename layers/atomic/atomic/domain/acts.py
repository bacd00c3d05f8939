"""What operators did: the rows of the audit log.

A row says who did what, when, from where and with which answer. It never has the body of the request.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

from atomic.protocol.enums import ActorKind

# What comes from a request is cut, so that a row stays small.
TEXT_MAX_CHARS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One request that changed something and was not the work of a workflow, or that was refused.

    `client_id` is the client in whose log it is. `action` is the operation's id in the API's description,
    `target` the ids in the request's path, by name. `by` is the id of a key or the ARN of a caller; ""
    where no keys are stored. `status` is that of the answer; None when the request ended without one.
    """

    id: str
    client_id: str
    at_ms: int
    action: str
    target: dict[str, str]
    by_kind: ActorKind
    by: str
    source: str
    user_agent: str
    request_id: str
    status: int | None


def act_record(act: Act) -> dict[str, Any]:
    """The act as stores keep it."""
    return asdict(act)


def load_act(record: dict[str, Any]) -> Act:
    """The act of a record."""
    return Act(**record)
