"""The first difference of two values, and its description."""

from typing import Any

import pytest

from atomic.protocol.differences import first_difference


@pytest.mark.parametrize(
    ("first", "now", "expected"),
    [
        ({"b": [1, {"c": 2}], "a": 0}, {"a": 0, "b": [1, {"c": 3}]}, ("payload.b[1].c", "2", "3")),
        ([[1], [2]], [[1]], ("payload[1]", "[2]", "absent")),
        ({"a": {}}, {"a": {"b": None}}, ("payload.a.b", "absent", "null")),
        ([{"a": True}], [{"a": 1}], ("payload[0].a", "true", "1")),
        ({"a": []}, {"a": {}}, ("payload.a", "[]", "{}")),
        (["x" * 50], ["y"], ("payload[0]", '"' + "x" * 38 + "…", '"y"')),
        ([{"a": 1, "b": [2.0]}], [{"b": [2], "a": 1.0}], None),
    ],
)
def test_the_first_place_counts(first: Any, now: Any, expected: Any) -> None:
    assert first_difference(first, now) == expected
