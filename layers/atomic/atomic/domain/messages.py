"""Messages: results that are posted for the next event of a name, whichever that is.

The events of a name are `reply`, `reply#2`, `reply#3` and so on. A message with an id of its own has a
note: a row that says which number it was given. The note is written before the event, so a message that is
posted again finds its event.
"""

from dataclasses import replace

from atomic.domain.blobs import at_hand
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step, StepSpec, changed
from atomic.domain.transitions import begin
from atomic.protocol import keys


def numbered(first: StepSpec, number: int) -> StepSpec:
    """The event of this number, given the first one of its name."""
    if number == 1:
        return first
    name = f"{first.step_name}#{number}"
    parts = first.client_id, first.workflow_name, first.parent or "", first.kind, name
    return replace(first, step_name=name, identity=keys.identity(*parts, first.idempotency_key))


def note_id(first: StepSpec, message: str) -> str:
    """The id of the note of a message, given the first event of its name."""
    position = keys.note_position(first.parent or "", first.step_name, message)
    return keys.step_id(first.run_id, position)


def note(first: StepSpec, message: str, number: int, now_ms: int) -> Step:
    """A new note of a message that is given this number."""
    position = keys.position_of(note_id(first, message))
    kept = replace(first, kind="value", parent=None, identity=position, payload=str(number).encode())
    return begin(kept, position, now_ms, None)


def renumbered(note: Step, number: int) -> Step:
    """The note, when the message is given another number."""
    return changed(note, response=StoredBody(str(number).encode(), "json"))


def number_of(note: Step) -> int:
    """The number that the message was given."""
    assert note.response is not None, "a note has a number"
    return int(at_hand(note.response.text))
