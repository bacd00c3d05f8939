"""A page of a handler's steps, as whole rows, which the handler reads when it is called again.

The rows are read as a stream that ends when the page is full, so the memory for it is bounded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from atomic.domain.blobs import is_at_hand
from atomic.domain.outcomes import ESCAPED
from atomic.domain.steps import Step

# The members of a result beside its response.
_RESULT_BYTES: Final = 400


@dataclass(frozen=True, slots=True)
class ChildPage:
    """Steps in the order of their ids; `next_after` is the last one's id when there are more."""

    steps: Sequence[Step]
    next_after: str | None


def first_page(children: Iterable[Step], *, limit: int, max_bytes: int) -> ChildPage:
    """The first steps: at least one, at most `limit`, and about `max_bytes` of payloads and responses."""
    steps: list[Step] = []
    room = max_bytes
    for child in children:
        room -= _RESULT_BYTES + _read_bytes(child)
        if steps and (room < 0 or len(steps) == limit):
            return ChildPage(steps, steps[-1].id)
        steps.append(child)
    return ChildPage(steps, None)


def _read_bytes(step: Step) -> int:
    """What the page takes of the step. Only a payload that is in the row is read."""
    payload = step.spec.payload
    return (len(payload) if is_at_hand(payload) else 0) + response_bytes(step)


def response_bytes(step: Step) -> int:
    """An upper bound of the size of the response, as JSON."""
    response = step.response
    return 0 if response is None else len(response.text) * (ESCAPED if response.form == "text" else 1)
