"""Timestamps in the wire format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol.wire import from_rfc3339, to_rfc3339
from unit.strategies import examples


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_the_form(at_ms: int, text: str) -> None:
    assert to_rfc3339(at_ms) == text
    assert from_rfc3339(text) == at_ms


@pytest.mark.parametrize(
    "text", ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20.000999Z"]
)
def test_other_spellings_of_a_moment(text: str) -> None:
    assert from_rfc3339(text) == 1_700_000_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-02-30T00:00:00Z",
        "2023-11-14T25:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_rfc3339(text)


@examples(120)
@given(st.integers(0, 250_000_000_000_000))
def test_a_moment_survives_the_wire(at_ms: int) -> None:
    assert from_rfc3339(to_rfc3339(at_ms)) == at_ms
