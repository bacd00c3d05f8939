"""Which members a redaction path matches, and how they are replaced."""

from dataclasses import replace
from typing import Any

import pytest

from atomic.application.redaction import redacted, redaction_key
from atomic.domain.clients.client import Client
from atomic.domain.clients.rules import check_redaction
from atomic.domain.outcomes import StoredBody
from atomic.protocol.strict_json import canonical_json, parse_json
from contract.builders import a_root, a_spec

HIDDEN = "#"


def client(*names: str, pepper: bytes = b"pepper", client_id: str = "acme") -> Client:
    return Client(id=client_id, redact=names, redaction_key=redaction_key(pepper, client_id))


def shown(value: Any, *names: str) -> Any:
    """The redacted payload, with each hash as `#`."""
    step = redacted(a_root(a_spec(payload=canonical_json(value))), client(*names))

    def marked(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: marked(member) for name, member in part.items()}
        if isinstance(part, list):
            return [marked(item) for item in part]
        return HIDDEN if isinstance(part, str) and part.startswith("hmac-sha256:") else part

    return marked(parse_json(step.spec.payload))


@pytest.mark.parametrize(
    ("names", "value", "expected"),
    [
        (["a"], {"a": 1, "b": {"a": [2, 3]}}, {"a": HIDDEN, "b": {"a": HIDDEN}}),
        (["a.b"], {"a": {"b": 1, "c": 2}, "b": 3}, {"a": {"b": HIDDEN, "c": 2}, "b": 3}),
        (["a.b"], {"x": {"a": [{"b": 1}, {"c": 2}]}}, {"x": {"a": [{"b": HIDDEN}, {"c": 2}]}}),
        (["a.b"], {"a": {"x": {"b": 1}}}, {"a": {"x": {"b": 1}}}),
        (["a", "a.b"], {"a": {"b": None}}, {"a": HIDDEN}),
        (["a"], [[{"a": None}], {"a": False}, "a"], [[{"a": HIDDEN}], {"a": HIDDEN}, "a"]),
        (["é"], {"é": "x", "A": "x"}, {"é": HIDDEN, "A": "x"}),
        (["a"], "a", "a"),
        ([], {"a": 1}, {"a": 1}),
    ],
)
def test_which_members_a_path_names(names: list[str], value: Any, expected: Any) -> None:
    assert shown(value, *names) == expected


def test_a_hash_is_that_of_the_value_under_the_clients_key_alone() -> None:
    def hash_of(value: Any, key: Client) -> Any:
        step = redacted(a_root(a_spec(payload=canonical_json({"a": value}))), key)
        return parse_json(step.spec.payload)["a"]

    same = {hash_of({"x": 1, "y": 2.0}, client("a")), hash_of({"y": 2, "x": 1}, client("a", "z"))}
    assert len(same) == 1
    others = [client("a", pepper=b"other"), client("a", client_id="beta")]
    assert len(same | {hash_of({"x": 1, "y": 2}, other) for other in others}) == 3
    assert len({hash_of(value, client("a")) for value in (1, "1", [1], None, "", True, {"a": 1})}) == 7


@pytest.mark.parametrize("form", ["text", "base64"])
def test_an_answer_without_members_is_hidden_as_a_whole(form: Any) -> None:
    step = replace(a_root(), response=StoredBody(b"secret", form, "text/plain"))
    seen = redacted(step, client("a")).response
    assert seen is not None
    assert seen.text.startswith(b"hmac-sha256:")
    assert redacted(step, client()) is step
    assert redacted(a_root(), client("a")).response is None


@pytest.mark.parametrize("bad", ["", ".", "a.", ".a", "a..b", "x" * 256])
def test_a_path_names_a_member(bad: str) -> None:
    with pytest.raises(ValueError, match="names no member"):
        check_redaction(["a", bad])


def test_paths_are_kept_once_and_not_without_end() -> None:
    assert check_redaction(["a", "b.c", "a"]) == ("a", "b.c")
    with pytest.raises(ValueError, match="at most 100"):
        check_redaction([f"a{n}" for n in range(101)])
