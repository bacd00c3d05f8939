"""The parsers of header values."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol import headers
from atomic.protocol.headers import Preferences, parse_idempotency_key, parse_prefer, parse_retry_after_ms
from atomic.protocol.problems import Problem
from unit.strategies import NOW, examples


@pytest.mark.parametrize(
    ("value", "wait_ms", "respond_async"),
    [
        ("", None, False),
        ("wait=8", 8000, False),
        ("wait=0", 0, False),
        ("WAIT=8", 8000, False),
        (" wait = 8 ", 8000, False),
        ('wait="8"', 8000, False),
        ("wait=999999999", 999_999_999_000, False),
        ("respond-async", None, True),
        ("Respond-Async", None, True),
        ("respond-async, wait=10", 10_000, True),
        ("wait=10,respond-async", 10_000, True),
        ("respond-async; x=1, wait=10; y=2", 10_000, True),
        ("return=minimal, handling=lenient", None, False),
        ("waiting=8, respond-asynchronously", None, False),
        (",, ,", None, False),
        ("wait=8, wait=9", 8000, False),
        ("wait=0, wait=9", 0, False),
    ],
)
def test_prefer(value: str, wait_ms: int | None, respond_async: bool) -> None:
    assert parse_prefer(value) == Preferences(wait_ms, respond_async)


@pytest.mark.parametrize(
    "value", ["wait", "wait=", 'wait=""', "wait=-1", "wait=1.5", "wait=8s", "wait=٣", "wait=1e3", "wait=²",
              "wait=1000000000", "wait=" + "9" * 5000, "respond-async, wait=soon"]
)  # fmt: skip
def test_a_wait_that_is_no_number_is_a_400(value: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_prefer(value)
    assert caught.value.type.status == 400
    assert caught.value.detail == "Prefer: wait takes whole seconds, as in `wait=8`"


@pytest.mark.parametrize(
    ("preferences", "value"),
    [
        (Preferences(), ""),
        (Preferences(8000), "wait=8"),
        (Preferences(None, True), "respond-async"),
        (Preferences(0, True), "respond-async, wait=0"),
    ],
)
def test_preferences_are_acknowledged_as_they_were_asked(preferences: Preferences, value: str) -> None:
    assert preferences.applied() == value
    assert parse_prefer(value) == preferences


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("abc", "abc"),
        ("  abc\t", "abc"),
        ('"abc"', "abc"),
        (' "abc" ', "abc"),
        (r'"a\"b\\c"', r"a\"b\c".replace("\\" + '"', '"')),
        ('"', '"'),
        ('"abc', '"abc'),
        ('abc"', 'abc"'),
        ('"a"b"', '"a"b"'),
        (r'"a\b"', r'"a\b"'),
        ('""', ""),
        ("", ""),
    ],
)
def test_an_idempotency_key_is_bare_or_quoted(value: str, key: str) -> None:
    assert parse_idempotency_key(value) == key


@examples(120)
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=10))
def test_every_key_survives_quoting(key: str) -> None:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_idempotency_key(f'"{escaped}"') == key


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("0", 0),
        ("1", 1000),
        (" 120 ", 120_000),
        ("007", 7000),
        ("9" * 12, 999_999_999_999_000),
        ("9" * 13, None),
        ("9" * 5000, None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("²", None),
        ("", None),
        (" ", None),
        ("soon", None),
        ("1, 2", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60_000),
        ("Tue, 14 Nov 2023 22:14:20 +0000", 60_000),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60_000),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60_000),
        ("Tue Nov 14 22:14:20 2023", 60_000),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60_000),
        ("Tue, 14 Nov 2023 22:13:20 GMT", None),
        ("Tue, 14 Nov 2023 22:13:19 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799_000 - NOW),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 253_402_300_799_000 + 86_340_000 - NOW),
        ("Tue, 14 Nov 2023 22:14:20 +9999", None),
        ("Tue, 14 Nov 2023 25:14:20 GMT", None),
        ("Tue, 31 Feb 2024 22:14:20 GMT", None),
        ("Tue, 14 Nov 99999 22:14:20 GMT", None),
        ("2023-11-14T22:14:20Z", None),
        ("Tue, 14 Nov", None),
    ],
)
def test_retry_after(value: str, ms: int | None) -> None:
    assert parse_retry_after_ms(value, NOW) == ms


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of the machine cannot be changed")
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "UTC"])
def test_a_date_means_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        waits = [
            parse_retry_after_ms(f"Tue, 14 Nov 2023 22:14:20 {suffix}".strip(), NOW)
            for suffix in ("GMT", "-0000", "")
        ]
    time.tzset()
    assert waits == [60_000, 60_000, 60_000]


@examples(120)
@given(st.integers(1, 10**9))
def test_a_date_and_its_seconds_say_the_same(seconds: int) -> None:
    moment = datetime.fromtimestamp(NOW // 1000, UTC) + timedelta(seconds=seconds)
    by_date = parse_retry_after_ms(format_datetime(moment, usegmt=True), NOW)
    assert by_date == parse_retry_after_ms(str(seconds), NOW) == seconds * 1000


@examples(150)
@given(st.text(max_size=40) | st.text("0123456789 :,-+GMTueNov", max_size=30))
def test_any_retry_after_is_a_wait_or_nothing(value: str) -> None:
    wait_ms = parse_retry_after_ms(value, NOW)
    assert wait_ms is None or wait_ms >= 0


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("value", "unsampled"),
    [(f"00-{TRACE}-{SPAN}-01", False), (f"00-{TRACE}-{SPAN}-00", True), (f"00-{TRACE}-{SPAN}-02", True),
     (f" 01-{TRACE}-{SPAN}-ff ", False)],
)  # fmt: skip
def test_traceparent(value: str, unsampled: bool) -> None:
    assert headers.parse_trace(value) == (TRACE, unsampled)


@pytest.mark.parametrize(
    "value",
    ["", "00", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
     f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-{SPAN}",
     f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-01-more", f"00_{TRACE}_{SPAN}_01", f"0-{TRACE}-{SPAN}-01",
     f"00-{TRACE}-{SPAN}-0g"],
)  # fmt: skip
def test_what_is_no_traceparent(value: str) -> None:
    assert headers.parse_trace(value) == (None, False)


def test_our_traceparent_is_one() -> None:
    assert headers.traceparent(TRACE, SPAN) == f"00-{TRACE}-{SPAN}-01"
    assert headers.parse_trace(headers.traceparent(TRACE, SPAN)) == (TRACE, False)
    assert headers.parse_trace(headers.traceparent(TRACE, SPAN, is_sampled=False)) == (TRACE, True)


@pytest.mark.parametrize(
    ("value", "build"),
    [
        ("abc-1", "abc-1"), (" abc ", "abc"), ("!~", "!~"), ("b" * 64, "b" * 64), ("b" * 10_000, "b" * 64),
        ("", None), (" ", None), ("a b", None), ("a, b", None), ("a\x00b", None), ("a\x1b[31mb", None),
        ("a\x7f", None), ("é", None), ("\udcff", None), ("b" * 10_000 + "\n" + "b", None),
    ],
)  # fmt: skip
def test_a_build_is_visible_ascii_and_bounded(value: str, build: str | None) -> None:
    assert headers.parse_build(value) == build


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0", 0), ("3", 3), (" 3 ", 3), ("003", 3), ("999999999", 999_999_999), ("1000000000", 0),
        ("", 0), ("-1", 0), ("+1", 0), ("abc", 0), ("1.5", 0), ("1e3", 0), ("1, 2", 0), ("1_0", 0),
        ("٣", 0), ("²", 0), (str(10**30), 0), ("9" * 10_000, 0),
    ],
)  # fmt: skip
def test_a_number_of_unused_results(value: str, number: int) -> None:
    assert headers.parse_unused_results(value) == number
