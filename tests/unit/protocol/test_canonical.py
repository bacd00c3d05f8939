"""Strict JSON: what is refused, and that each payload has one canonical form and one fingerprint."""

import json
import math
import random
import re
import struct
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol import strict_json
from atomic.protocol.strict_json import (
    JsonRefused,
    JsonTooLong,
    canonical_json,
    fingerprint,
    parse_json,
    read_json,
)
from unit.strategies import examples, json_values, meaning, spelling


def canonical(text: str | bytes) -> bytes:
    return canonical_json(parse_json(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"NaN", "NaN is not JSON; send null or a string"),
        (b'{"a":[Infinity]}', "Infinity is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"1e999", "beyond the range of a double"),
        (b"-1e999", "beyond the range of a double"),
        (b"[1.5e400]", "send it as a string"),
        (b"18446744073709551616", "beyond 64 bit; send it as a string"),
        (b"-9223372036854775809", "beyond 64 bit"),
        (b"9" * 5000, "beyond 64 bit"),
        (b"-" + b"9" * 5000, "beyond 64 bit"),
        (b'{"a":1,"a":1}', "'a' appears twice"),
        (b'{"a":1,"b":2,"b":3}', "'b' appears twice in one object; keep one of them"),
        (b'[{"x":{"y":[{"a":1,"a":2}]}}]', "'a' appears twice"),
        (b'{"a":1,"\\u0061":2}', "'a' appears twice"),
        (b'{"":1,"":2}', "'' appears twice"),
        (b'"\\ud800"', "half of a surrogate pair; send whole characters"),
        (b'"\\udc00"', "surrogate"),
        (b'"\\uDE00\\uD83D"', "surrogate"),
        (b'[{"a":{"\\ud83d":1}}]', "surrogate"),
        (b'"\\ud83dx\\ude00"', "surrogate"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
        (b'"\xff"', "send UTF-8 encoded JSON"),
        (b'"\xc0\x80"', "not UTF-8"),
        (b'"\xe9"', "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("\ufeff{}", "byte order mark"),
        (b"", "not JSON"),
        (b" \n", "not JSON"),
        (b"{}{}", "Extra data"),
        (b"[1,]", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b"{a:1}", "not JSON"),
        (b"01", "Extra data"),
        (b"+1", "not JSON"),
        (b".5", "not JSON"),
        (b"5.", "Extra data"),
        (b"0x10", "Extra data"),
        (b"True", "not JSON"),
        (b'"\x00"', "not JSON"),
        (b'"a\nb"', "line 1, column 3"),
        (b'"\\x41"', "not JSON"),
        (b'"open', "not JSON"),
        (b"// no\n1", "not JSON"),
        (b"\xc2\xa01", "not JSON"),
    ],
)
def test_refuses_what_has_no_single_meaning(text: bytes, says: str) -> None:
    with pytest.raises(JsonRefused) as refused:
        parse_json(text)
    assert says in str(refused.value)


def test_refuses_a_surrogate_that_never_was_an_escape() -> None:
    with pytest.raises(JsonRefused, match="surrogate"):
        parse_json('["é", "\ud800"]')


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_nesting_ends_at_64_levels(opening: str) -> None:
    closing = "".join({"[": "]", "{": "}"}[char] for char in reversed(opening) if char in "[{")
    levels = len(closing)
    deepest = opening * (64 // levels) + "1" + closing * (64 // levels)
    assert canonical(deepest) == deepest.encode()
    inner = deepest[len(opening) : -levels]
    assert parse_json(f"{'[' * (levels - 1)}[{inner},[],{{}}{']' * levels}")
    for text in (f"[{deepest}]", f'{{"a":{deepest}}}', f"[1,{deepest},[]]"):
        with pytest.raises(JsonRefused, match="deeper than 64 levels; flatten it"):
            parse_json(text)


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "[" * 100_000]
)
def test_100_000_levels_are_refused_and_nothing_breaks(text: str) -> None:
    caught: list[Exception] = []

    def read() -> None:
        try:
            parse_json(text)
        except Exception as error:  # any error but a refusal fails the test
            caught.append(error)

    # In a new thread, so that the test runner's stack frames do not count.
    for where in (read, lambda: (thread := threading.Thread(target=read)).start() or thread.join()):
        where()
    assert [type(error) for error in caught] == [JsonRefused, JsonRefused]


def test_brackets_in_strings_are_not_nesting() -> None:
    assert parse_json(json.dumps("[{" * 1000)) == "[{" * 1000


def test_wide_is_not_deep() -> None:
    assert parse_json("[" + "[],{}," * 1000 + "[]]") == [[], {}] * 1000 + [[]]


def test_many_members_with_a_late_duplicate_are_refused_at_once() -> None:
    members = ",".join(f'"{number}":0' for number in range(100_000))
    with pytest.raises(JsonRefused, match="'99999' appears twice"):
        parse_json(f'{{{members},"99999":1}}')


def test_a_refusal_does_not_repeat_a_long_name() -> None:
    with pytest.raises(JsonRefused) as refused:
        parse_json(json.dumps("n" * 500_000).join(["{", ":1,", ":2}"]))
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "digits", ["18446744073709551615", "-9223372036854775808", "0", "9007199254740993"]
)
def test_64_bit_integers_keep_every_digit(digits: str) -> None:
    assert canonical(digits) == digits.encode()


@pytest.mark.parametrize(
    ("spellings", "written"),
    [
        (["1", "1.0", "1e0", "1E+0", "10e-1", "0.1e1", "1.000"], b"1"),
        (["0", "-0", "0.0", "-0.0", "0e9", "-0e-9", "1e-400", "-1e-400"], b"0"),
        (["100", "1e2", "100.0", "1E2"], b"100"),
        (["1000000000000000000", "1e18", "1.0e+18"], b"1000000000000000000"),
        (["10000000000000000000", "1e19", "10000000000000000000.0"], b"10000000000000000000"),
        (["9223372036854775808", "9223372036854775808.0"], b"9223372036854775808"),
        (["-9223372036854775808", "-9223372036854775808.0"], b"-9223372036854775808"),
        (["1e22", "1.0E22", "10000000000000000000000.0"], b"1e+22"),
        (["0.1", "1e-1", "0.10", "0.1000000000000000055"], b"0.1"),
        (["1.5e300", "15e299", "1.5E+300"], b"1.5e+300"),
        (["5e-324", "4.9e-324"], b"5e-324"),
        (['"\\u00e9"', '"\\u00E9"', '"é"'], '"é"'.encode()),
        (['"\\ud83d\\ude00"', '"\\uD83D\\uDE00"', '"😀"'], '"😀"'.encode()),
        (['"\\/"', '"/"', '"\\u002f"'], b'"/"'),
        (['"\\u0000\\u001f\\n"', '"\\u0000\\u001F\\u000a"'], b'"\\u0000\\u001f\\n"'),
        (['{"b":1,"a":[2.0]}', '{"a":[2],"b":1.0}', ' { "a" : [ 2 ] , "b" : 1e0 } '], b'{"a":[2],"b":1}'),
        (['{"x":{"b":null,"a":{}}}', '{"x":{"a":{},"b":null}}'], b'{"x":{"a":{},"b":null}}'),
        (["[]", " [ ] ", "[\n]"], b"[]"),
    ],
)
def test_all_spellings_of_a_value_become_one(spellings: list[str], written: bytes) -> None:
    assert {canonical(text) for text in spellings} == {written}


@pytest.mark.parametrize(
    "texts",
    [
        ["1", "true", '"1"', "[1]"],
        ["0", "false", "null", '""', "[]", "{}"],
        ["1", "1.0000000000000002", "0.9999999999999999"],
        ["9007199254740992", "9007199254740993"],
        ["18446744073709551615", "18446744073709551616.0"],
        ['"e\\u0301"', '"\\u00e9"'],
        ["[1,2]", "[2,1]", "[[1],2]", "[12]"],
        ['{"a":1}', '{"A":1}', '{"a":"1"}', '{"a":[1]}'],
        ['{"a":null}', "{}"],
    ],
)
def test_different_values_stay_different(texts: list[str]) -> None:
    assert len({fingerprint(canonical(text)) for text in texts}) == len(texts)


@pytest.mark.parametrize("inside", ["1.0", "x.0", "1e+5", "-0.0", "v2.0 e+", "1.0,2.0"])
def test_strings_that_look_like_numbers_are_left_alone(inside: str) -> None:
    assert canonical(json.dumps({inside: [inside, 3.0]})) == f'{{"{inside}":["{inside}",3]}}'.encode()


def test_names_are_sorted_by_character() -> None:
    assert canonical('{"é":1,"a":2,"B":3,"😀":4,"":5}') == '{"":5,"B":3,"a":2,"é":1,"😀":4}'.encode()


def test_a_fingerprint_is_a_known_hash() -> None:
    known = "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"
    assert fingerprint(b"null") == known


@examples(150)
@given(st.data(), json_values)
def test_every_spelling_has_the_same_fingerprint(data: st.DataObject, value: Any) -> None:
    text = data.draw(st.composite(lambda draw: spelling(draw, value))())
    assert meaning(parse_json(text)) == meaning(value)
    assert fingerprint(canonical(text)) == fingerprint(canonical_json(value))
    assert canonical(canonical(text)) == canonical(text)


@examples(250)
@given(json_values, json_values)
def test_fingerprints_are_equal_exactly_when_values_are(one: Any, other: Any) -> None:
    same = meaning(one) == meaning(other)
    assert (fingerprint(canonical_json(one)) == fingerprint(canonical_json(other))) is same


@examples(250)
@given(st.binary(max_size=40) | st.text('{}[]",:0123456789.eE+-\\ud8truefalsn \ufeff', max_size=20))
def test_any_text_is_read_or_refused(text: bytes | str) -> None:
    try:
        written = canonical(text)
    except JsonRefused:
        return
    assert canonical(written) == written


def read_by(read: Callable[[bytes], Any], text: bytes) -> str:
    """The result of a parser; `repr` distinguishes 1 from 1.0 and different orders of members."""
    try:
        return f"read {read(text)!r}"
    except JsonRefused as refused:
        return f"refused: {refused}"


@examples(500)
@given(st.data(), json_values)
def test_the_fast_reader_reads_and_refuses_what_the_careful_one_does(
    data: st.DataObject, value: Any
) -> None:
    compact = orjson.dumps(value)
    at = data.draw(st.integers(0, len(compact)))
    more = data.draw(st.sampled_from([compact, b",", b"0", b"e5", b'"a":1,', b"[", b" ", b"\\u0041"]))
    spelt = data.draw(st.composite(lambda draw: spelling(draw, value))())
    raw = data.draw(st.binary(max_size=40))
    for text in (compact, compact[:at] + more + compact[at:], spelt.encode(), raw):
        careful = read_by(read_json, text)
        assert read_by(parse_json, text) == careful


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":1}}',
        b"18446744073709551616",
        b"-9223372036854775809",
        b"1e999",
        b"NaN",
        b'"\\ud800"',
        b"[" * 65 + b"]" * 65,
        b"[" * 2000 + b"]" * 2000,
    ],
)
def test_compact_texts_that_orjson_would_take_or_trip_over_are_refused(text: bytes) -> None:
    with pytest.raises(JsonRefused):
        parse_json(text)


def carefully_written(value: Any) -> bytes:
    """Canonical JSON by a simple, slow implementation."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer() and -(2**63) <= value < 2**64:
            return int(value)
        if isinstance(value, dict):
            return {name: plain(member) for name, member in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    options: Any = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    return json.dumps(plain(value), **options).encode()


@examples(1000)
@given(json_values)
def test_the_fast_writer_writes_what_the_careful_one_does(value: Any) -> None:
    """Fingerprints are stored, so the canonical form must never change."""
    assert canonical_json(value) == carefully_written(value)


@pytest.mark.parametrize(
    "number",
    [450.000081, -34272780.00003438, 123939179320.00009, 0.00003, -0.00003, 10.0, 100.5, -0.0, 1e16, -1e19],
)
def test_a_number_is_written_as_a_whole(number: float) -> None:
    """Parts of some numbers look like other numbers with a different canonical form."""
    for value in (number, [number], {"a": number}, [[number, number], {"a": number}]):
        assert canonical_json(value) == carefully_written(value)


def test_every_character_is_written_as_the_careful_writer_does() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), 0x1F600, 0x10FFFF]))
    assert canonical_json({everything: everything}) == carefully_written({everything: everything})
    assert canonical_json({everything: [everything, 1.0, -0.0]}) == carefully_written(
        {everything: [everything, 1.0, -0.0]}
    )


def test_floats_of_every_size_are_written_as_the_careful_writer_does() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    numbers = [
        *(struct.unpack("d", dice.randbytes(8))[0] for _ in range(20_000)),
        *(dice.random() * 10.0 ** dice.randint(-8, 25) for _ in range(20_000)),
        *(dice.randint(1, 99_999) * 10.0 ** dice.randint(-12, 24) for _ in range(20_000)),
        *(float(dice.randint(-(2**65), 2**65)) for _ in range(20_000)),
        *(round(dice.random() * 1000, dice.randint(0, 8)) for _ in range(20_000)),
        *(sign * 10.0**power for sign in (1, -1) for power in range(-323, 309)),
    ]
    finite = [number for number in numbers if math.isfinite(number)]
    assert canonical_json(finite) == carefully_written(finite)
    assert canonical_json({"1e5": finite, "x": '"\\1.0,'}) == carefully_written(
        {"1e5": finite, "x": '"\\1.0,'}
    )


def padded(text: bytes) -> bytes:
    """The value inside a text so large that the exact reason of a refusal is not determined."""
    return b'[%b,"%b"]' % (text, b"x" * 40_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"a":1,"a":1}', "a member appears twice in one object; keep one of them"),
        (b'{"a":1,"\\u0061":"1"}', "a member appears twice"),
        (b'{"\\\\":"\\"", "\\\\":1}', "a member appears twice"),
        (b"[18446744073709551616 ]", "beyond 64 bit; send it as a string"),
        (b"[ -9223372036854775809]", "beyond 64 bit"),
        (b'{"a" :' + b"9" * 300 + b"}", "beyond 64 bit"),
        (b"1e999", "not JSON: number is infinity"),
        (b"[1,]", "not JSON: "),
        (b'"\\ud800"', "surrogate"),
        (b"[" * 64 + b"]" * 64, "nested deeper than 64 levels; flatten it"),
        (b"[" * 300 + b"]" * 300, "nested deeper than 64 levels; flatten it"),
        (b"[" * 3000 + b"]" * 3000, "nested deeper than 64 levels; flatten it"),
        (b"[" * 3000, "nested deeper than 64 levels; flatten it"),
    ],
)
def test_a_large_text_is_refused_too(text: bytes, says: str) -> None:
    with pytest.raises(JsonRefused) as refused:
        parse_json(padded(text))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        b'"18446744073709551616"', b'"\\"18446744073709551616,"', b"0.1000000000000000055",
        b"1234567890123456789012.5", b"12345678901234567890e2", b"18446744073709551615 ",
        b"-9223372036854775808 ", b'{"\\\\":"\\"","\\"":"\\\\"} ', b" " + b"[" * 63 + b"]" * 63,
        b'"' + b"[" * 100 + b'" ',
    ],
)  # fmt: skip
def test_a_large_text_is_read_as_the_careful_reader_does(text: bytes) -> None:
    whole = padded(text)
    assert repr(parse_json(whole)) == repr(read_json(whole))


@examples(300)
@given(st.data(), st.lists(json_values, min_size=1, max_size=4))
def test_large_texts_are_read_and_refused_as_by_the_careful_reader(
    data: st.DataObject, values: list[Any]
) -> None:
    spelt = data.draw(st.composite(lambda draw: spelling(draw, values))())[1:-1]
    at = data.draw(st.integers(0, len(spelt)))
    more = data.draw(st.sampled_from(["", ",", "0", "e5", '"a":1,', "[", " ", "\\u0041", '"', "\\"]))
    text = padded(f"[{spelt[:at]}{more}{spelt[at:]}]".encode())
    fast, careful = read_by(parse_json, text), read_by(read_json, text)
    assert fast == careful or (fast.startswith("refused") and careful.startswith("refused"))


@pytest.mark.parametrize(
    "number",
    [1.0, -0.0, 0.00001, 0.000012, -0.000099, 1e16, 1.0000000000000002e16, -1e19, 1e-7, 5e-324, 1.5],
)
def test_the_shortest_form_of_a_number_is_never_longer(number: float) -> None:
    for value in (number, [number] * 50, {"a": [number, {"b": number}]}):
        assert strict_json.shortest_canonical(orjson.dumps(value)) <= len(canonical_json(value))


@pytest.mark.parametrize("value", ["x" * 98, [1.0] * 50, [-0.0] * 50, [0.00001] * 17, [1e-7] * 17])
def test_a_value_that_is_too_long_is_refused(value: Any) -> None:
    size = len(carefully_written(value))
    assert canonical_json(value, max_bytes=size) == carefully_written(value)
    for less in (size - 1, size // 2):
        with pytest.raises(JsonTooLong):
            canonical_json(value, max_bytes=less)


def test_the_shortest_form_of_an_escaped_character_is_never_longer() -> None:
    dice = random.Random(7)
    points = [*range(0x3000), *(dice.randrange(0x3000, 0x110000) for _ in range(5000)), 0xABCD, 0xFFFF]
    for character in (chr(point) for point in points if not 0xD800 <= point < 0xE000):
        escaped = json.dumps(character)
        capitals = re.sub(r"u[0-9a-f]{4}", lambda found: "u" + found[0][1:].upper(), escaped)
        for text in (escaped.encode(), capitals.encode()):
            assert strict_json.shortest(text) <= len(canonical(text)), text


@examples(500)
@given(st.data(), json_values)
def test_the_shortest_form_is_never_longer_than_the_real_one(data: st.DataObject, value: Any) -> None:
    text = data.draw(st.composite(lambda draw: spelling(draw, value))()).encode()
    assert strict_json.shortest(text) <= len(canonical(text))
    assert strict_json.shortest_canonical(orjson.dumps(value)) <= len(canonical_json(value))


@pytest.mark.parametrize(
    ("item", "share"),
    [(b"{},", 1), (b'{"a":[true,1]},', 0.7), (b"1.5,", 0.5), (b" 1 ,", 0.5), (b'{"\\u0061":1},', 0.3)],
)
def test_the_shortest_form_of_much_that_is_small_is_large(item: bytes, share: float) -> None:
    text = b"[" + item * 10_000 + b"0]"
    assert share * len(text) <= strict_json.shortest(text) <= len(text)
