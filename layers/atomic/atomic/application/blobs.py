"""Stores large texts of steps before the rows that name them, and reads them when they are needed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

from atomic.application.batches import side_by_side
from atomic.application.ports import Blobs, StoreUnavailable
from atomic.domain.blobs import Blob, Text
from atomic.domain.event_steps import EARLY_KEPT_MS
from atomic.domain.redating import last_recorded_ms
from atomic.domain.steps import Step
from atomic.protocol.enums import Status

# Longer texts have answers of their own: a document of several of them would be too long for some gateways.
SHOWN_MAX_BYTES: Final = 256 * 1024
# How many texts of a page are read at the same time.
_AT_ONCE: Final = 16


async def stored_apart(store: Blobs, step: Step) -> Step:
    """The step as its row is to be written: each of its large texts is stored. Raises StoreUnavailable.

    A text that the step has of another one, such as the outcome of a child run, is read and stored anew,
    so that it lives as long as this step.
    """
    payload, response = step.spec.payload, step.response
    if isinstance(payload, Blob) and payload.step_id != step.id:
        step = replace(step, spec=replace(step.spec, payload=await _stored(store, step, payload)))
    if response is not None and isinstance(response.text, Blob) and response.text.step_id != step.id:
        text = await _stored(store, step, response.text)
        step = replace(step, response=replace(response, text=text))
    return step


async def with_payload(store: Blobs, step: Step) -> Step:
    """The step with the text of its payload. Raises StoreUnavailable."""
    payload = await _read(store, step.spec.payload)
    return step if payload is step.spec.payload else replace(step, spec=replace(step.spec, payload=payload))


async def with_response(store: Blobs, step: Step) -> Step:
    """The step with the text of its response, if it has one. Raises StoreUnavailable."""
    if step.response is None:
        return step
    text = await _read(store, step.response.text)
    return step if text is step.response.text else replace(step, response=replace(step.response, text=text))


async def with_result(store: Blobs, step: Step) -> Step:
    """The step with the text of its response, if it has succeeded."""
    return await with_response(store, step) if step.status is Status.SUCCEEDED else step


async def as_shown(store: Blobs, step: Step) -> Step:
    """The step as its own document shows it: its response, and its payload unless that is too long."""
    step = await with_response(store, step)
    return await with_payload(store, step) if is_shown(step.spec.payload) else step


async def as_listed(store: Blobs, step: Step) -> Step:
    """The step as a page of its run shows it: no text that is too long."""
    if step.response is not None and is_shown(step.response.text):
        step = await with_response(store, step)
    return await with_payload(store, step) if is_shown(step.spec.payload) else step


def is_shown(text: Text) -> bool:
    """Whether a document shows the text beside others."""
    return len(text) <= SHOWN_MAX_BYTES


async def for_all(
    store: Blobs, steps: Sequence[Step], read: Callable[[Blobs, Step], Awaitable[Step]]
) -> list[Step]:
    """The steps with what `read`, a function of this module, reads of each."""
    found: list[Step] = []
    for start in range(0, len(steps), _AT_ONCE):
        found += await side_by_side(*(read(store, step) for step in steps[start : start + _AT_ONCE]))
    return found


async def _stored(store: Blobs, step: Step, blob: Blob) -> Blob:
    text = (await _text(store, blob)).text
    assert text is not None
    until_ms = (step.finished_at_ms or last_recorded_ms(step)) + step.spec.retention_ms
    if step.early:
        # Once a handler asks for the event, it is kept as long as if it had ended then.
        until_ms += EARLY_KEPT_MS
    place = await store.put_blob(step.id, blob.digest, text, until_ms)
    return replace(blob, step_id=step.id, place=place, until_ms=until_ms, text=text)


async def _read(store: Blobs, text: Text) -> Text:
    return await _text(store, text) if isinstance(text, Blob) else text


async def _text(store: Blobs, blob: Blob) -> Blob:
    """The blob with its text."""
    if blob.text is not None:
        return blob
    text = await store.get_blob(blob.step_id, blob.digest, blob.place)
    if text is None or sha256(text).hexdigest() != blob.digest:
        what = "is missing" if text is None else "has other bytes than were written"
        raise StoreUnavailable(f"a large text of {blob.step_id} {what}", kind="damaged text")
    return replace(blob, text=text)
