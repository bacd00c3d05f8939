"""Redaction: members of payloads and answers that readers see as a keyed hash only.

The endpoint gets the real payload, and the caller that starts a step and waits gets the real answer.
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson

from atomic.application.engine import SMALL_BYTES, LargeBodies
from atomic.domain.blobs import at_hand, is_at_hand
from atomic.domain.clients.client import Client
from atomic.domain.event_steps import JSON_RESULT
from atomic.domain.outcomes import StoredBody
from atomic.domain.steps import Step
from atomic.protocol.strict_json import canonical_json, parse_json

_PREFIX: Final = "hmac-sha256:"

Path = tuple[str, ...]


def redaction_key(pepper: bytes, client_id: str) -> bytes:
    """The key of a client's hashes. Without the pepper, nobody can find a value by trying."""
    return hmac.digest(pepper, b"redaction:" + client_id.encode(), "sha256")


def without_error_excerpt(step: Step, client: Client) -> Step:
    """The step without the excerpts of its errors: an excerpt has no members that could be hidden."""
    if not client.redact:
        return step
    attempts = tuple(
        replace(attempt, error=attempt.error.without_excerpt()) if attempt.error else attempt
        for attempt in step.attempt_log
    )
    return replace(step, error=step.error and step.error.without_excerpt(), attempt_log=attempts)


def redacted(step: Step, client: Client) -> Step:
    """The step as it may be shown to a reader of this client. Never store the result."""
    if not client.redact:
        return step
    paths = _paths(client)
    payload, response = step.spec.payload, step.response
    # A text that was not read is not shown either.
    if is_at_hand(payload):
        payload = redacted_payload(at_hand(payload), client)
    if response is not None and is_at_hand(response.text):
        response = _redacted_response(step, response, paths, client.redaction_key)
    return replace(
        without_error_excerpt(step, client), spec=replace(step.spec, payload=payload), response=response
    )


async def all_redacted(bodies: LargeBodies, steps: Sequence[Step], client: Client) -> list[Step]:
    """The steps as they may be shown to a reader of this client.

    Redaction takes a hundred times as long as reading the rows, so it is done in pieces, clients in turn.
    """
    if not client.redact:
        return list(steps)
    shown: list[Step] = []
    for size, piece in _pieces(steps):
        shown += await bodies.read(client.id, size, partial(_all_redacted, piece, client))
    return shown


def _all_redacted(steps: Sequence[Step], client: Client) -> list[Step]:
    return [redacted(step, client) for step in steps]


def _pieces(steps: Sequence[Step]) -> Iterator[tuple[int, list[Step]]]:
    """The steps in order, in pieces with their sizes. A piece is just large enough to wait for a turn."""
    size = 0
    piece: list[Step] = []
    for step in steps:
        piece.append(step)
        texts = [step.spec.payload, *([step.response.text] if step.response else [])]
        size += sum(len(text) for text in texts if is_at_hand(text))
        if size > SMALL_BYTES:
            yield size, piece
            size, piece = 0, []
    if piece:
        yield size, piece


def redacted_payload(payload: bytes, client: Client) -> bytes:
    """A payload as it may be shown to a reader of this client."""
    return _redacted_json(payload, _paths(client), client.redaction_key) if client.redact else payload


def _paths(client: Client) -> list[Path]:
    return [tuple(name.split(".")) for name in client.redact]


def _redacted_response(step: Step, response: StoredBody, paths: Sequence[Path], key: bytes) -> StoredBody:
    # The result of an event is JSON as it is stored. Its type says whether it was sent as JSON.
    is_json = step.spec.kind != "event" or response.content_type == JSON_RESULT
    text = at_hand(response.text)
    if response.form == "json" and is_json:
        return replace(response, text=_redacted_json(text, paths, key))
    # A payload without members is hidden as a whole.
    return replace(response, form="text", text=_hash(text, key).encode())


def _redacted_json(text: bytes, paths: Sequence[Path], key: bytes) -> bytes:
    # Grouped by last name: a payload may have a hundred thousand members, and a client a hundred paths.
    by_end: dict[str, list[Path]] = {}
    for path in paths:
        by_end.setdefault(path[-1], []).append(path)
    return canonical_json(_without(parse_json(text), by_end, (), key))


def _without(value: Any, paths: Mapping[str, Sequence[Path]], path_here: Path, key: bytes) -> Any:
    """The value without the members that the paths name; `path_here` leads to the value.

    A path may begin at any depth. The items of a list have the path of the list.
    """
    if isinstance(value, dict):
        return {
            name: _hash_of(member, key)
            if name in paths and _is_named((*path_here, name), paths)
            else _without(member, paths, (*path_here, name), key)
            if isinstance(member, (dict, list))
            else member
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [
            _without(item, paths, path_here, key) if isinstance(item, (dict, list)) else item
            for item in value
        ]
    return value


def _is_named(path_here: Path, paths: Mapping[str, Sequence[Path]]) -> bool:
    return any(path_here[-len(path) :] == path for path in paths[path_here[-1]])


def _hash_of(value: Any, key: bytes) -> str:
    # These values have one spelling only; a document may have tens of thousands of them.
    is_plain = value is None or isinstance(value, (int, str))
    return _hash(orjson.dumps(value) if is_plain else canonical_json(value), key)


def _hash(text: bytes, key: bytes) -> str:
    return _PREFIX + hmac.digest(key, text, "sha256").hex()
