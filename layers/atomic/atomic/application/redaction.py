"""What a client does not want to read back: members of payloads and answers, shown as a keyed hash.

The endpoint is sent the real value, and whoever starts a step and hangs for it is told the real answer.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from atomic.application.ports import Client
from atomic.domain.outcomes import Response
from atomic.domain.steps import Step
from atomic.protocol.canonical import canonical_json, parse_json
from atomic.protocol.failures import without_words

_PREFIX: Final = "hmac-sha256:"

Path = tuple[str, ...]


def redaction_key(pepper: bytes, client_id: str) -> bytes:
    """The key of a client's hashes; who lacks the pepper cannot try values."""
    return hmac.digest(pepper, b"redaction:" + client_id.encode(), "sha256")


def hushed(step: Step, client: Client) -> Step:
    """The step without the words of its endpoint: they have no members that could be told apart."""
    if not client.redact:
        return step
    attempts = tuple(replace(attempt, error=without_words(attempt.error)) for attempt in step.attempts)
    return replace(step, error=without_words(step.error), attempts=attempts)


def redacted(step: Step, client: Client) -> Step:
    """The step as it may be shown to a reader of this client. It is for showing only."""
    if not client.redact:
        return step
    paths = _paths(client)
    payload = redacted_payload(step.spec.payload, client)
    response = step.response and _redacted_response(step.response, paths, client.redaction_key)
    return replace(hushed(step, client), spec=replace(step.spec, payload=payload), response=response)


def redacted_payload(payload: bytes, client: Client) -> bytes:
    """A payload as it may be shown to a reader of this client."""
    return _redacted_json(payload, _paths(client), client.redaction_key) if client.redact else payload


def _paths(client: Client) -> list[Path]:
    return [tuple(name.split(".")) for name in client.redact]


def _redacted_response(response: Response, paths: Sequence[Path], key: bytes) -> Response:
    if response.form == "json":
        return replace(response, text=_redacted_json(response.text, paths, key))
    # What has no members cannot be told apart, so all of it is hidden.
    return replace(response, form="text", text=_hash(response.text, key).encode())


def _redacted_json(text: bytes, paths: Sequence[Path], key: bytes) -> bytes:
    # By their last name: a payload may have a hundred thousand members, and a client a hundred paths.
    by_end: dict[str, list[Path]] = {}
    for path in paths:
        by_end.setdefault(path[-1], []).append(path)
    return canonical_json(_without(parse_json(text), by_end, (), key))


def _without(value: Any, paths: Mapping[str, Sequence[Path]], place: Path, key: bytes) -> Any:
    """The value without what the paths name; `place` is the names of the members it stands in.

    A path may begin at any depth, and an item of a list stands where its list does.
    """
    if isinstance(value, dict):
        return {
            name: _hash(canonical_json(member), key)
            if _is_named(inner := (*place, name), paths)
            else _without(member, paths, inner, key)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_without(item, paths, place, key) for item in value]
    return value


def _is_named(place: Path, paths: Mapping[str, Sequence[Path]]) -> bool:
    return any(place[-len(path) :] == path for path in paths.get(place[-1], ()))


def _hash(text: bytes, key: bytes) -> str:
    return _PREFIX + hmac.digest(key, text, "sha256").hex()
