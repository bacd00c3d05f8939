"""The messages: a wake-up names a step that is due, a dead letter one that failed."""

import json
from dataclasses import dataclass
from typing import Any, Final

from atomic.protocol import keys

_VERSION: Final = 1
# The longest body that Atomic writes has about 120.
_BODY_MAX_CHARS: Final = 1_000


class PoisonMessage(ValueError):
    """Not a message that this version understands; forward it unchanged to the dead-letter queue."""


@dataclass(frozen=True, slots=True)
class Wakeup:
    """`at_ms` is the moment it was sent for, None if the message does not have it.

    `dead_letter`: the step failed, and its message was moved back to redrive it. `alone`: its receivers may
    have ended because of it, so it is processed apart from others.
    """

    step_id: str
    at_ms: int | None = None
    dead_letter: bool = False
    alone: bool = False


def encode(wakeup: Wakeup) -> str:
    """The body of a message. The row says when a step is due; `at` shows which wake-ups are outdated."""
    said: dict[str, Any] = {"v": _VERSION, "stepId": wakeup.step_id}
    if wakeup.at_ms is not None:
        said["at"] = wakeup.at_ms
    if wakeup.dead_letter:
        said["deadLetter"] = True
    if wakeup.alone:
        said["alone"] = True
    return json.dumps(said, separators=(",", ":"))


def encode_wakeup(step_id: str, at_ms: int) -> str:
    """The body of a wake-up."""
    return encode(Wakeup(step_id, at_ms))


def encode_dead_letter(step_id: str) -> str:
    """The body of a dead letter."""
    return encode(Wakeup(step_id, dead_letter=True))


def parse_wakeup(body: str) -> Wakeup:
    """Read the body of a message. Raises PoisonMessage, and nothing else, for any other text."""
    if len(body) > _BODY_MAX_CHARS:
        raise PoisonMessage(f"a body of {len(body)} characters is no wake-up")
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise PoisonMessage("the body is not JSON") from None
    if isinstance(said, dict) and isinstance(said.get("MessageBody"), str):
        # A call that Scheduler could not make. It is in the dead-letter queue as a whole.
        return parse_wakeup(said["MessageBody"])
    if not isinstance(said, dict) or type(said.get("v")) is not int or said["v"] != _VERSION:
        raise PoisonMessage(f"the body is no wake-up of version {_VERSION}")
    step_id = said.get("stepId")
    if not isinstance(step_id, str) or not _is_known_id(step_id):
        raise PoisonMessage("the wake-up names no step and no schedule")
    at_ms = said.get("at")
    return Wakeup(
        step_id,
        at_ms if type(at_ms) is int else None,
        dead_letter=said.get("deadLetter") is True,
        alone=said.get("alone") is True,
    )


def _is_known_id(text: str) -> bool:
    return keys.is_step_id(text) or (keys.is_schedule_id(text) and text.count("/") == 2)
