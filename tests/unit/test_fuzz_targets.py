"""A few cases of each target of `make fuzz`, by Hypothesis: keys, JSON, URLs, headers, the guard."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atomic.domain.clients import api_keys
from atomic.protocol import strict_json
from fuzz.targets import SEEDS, TARGETS

# Pieces of real messages, so that most inputs are nearly valid.
PIECES = {
    "strict-json": [
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b'"',
        b"\\u",
        b"d800",
        b"1",
        b"e9",
        b"-0",
        b".",
        b'"a"',
        b"null",
        b"NaN",
        b" ",
        b"\xef\xbb\xbf",
        b"18446744073709551616",
        b"\xc3\xa9",
        b"0" * 30,
    ],
    "url": [
        b"http",
        b"https",
        b"://",
        b"/",
        b"?",
        b"#",
        b"@",
        b":",
        b"[",
        b"]",
        b"127.1",
        b"::1",
        b"app.example",
        b"%2e",
        b"..",
        b"\\",
        b"0x7f",
        b"443",
        b"65536",
        b".",
        b"/app",
        b"\t",
    ],
    "ascii-host": [
        "https://ü.example".encode(),
        "ß".encode(),
        b"xn--",
        b"/",
        b"://",
        b"a.b",
        "\u200d".encode(),
        b"https",
    ],
    "api-key": [b"atm_", b"0123456789ab", b"_", b"A" * 43, b"z", b"\xff"],
    "headers": [
        b"wait=",
        b"8",
        b"respond-async",
        b",",
        b";",
        b'"',
        b"00-",
        b"a" * 32,
        b"-",
        b"b" * 16,
        b"\\",
        b"Wed, 21 Oct 2026",
        b"07:28:00 GMT",
        b"9" * 13,
        b" ",
        b"\xb2",
    ],
    "guard": [
        b"127.0.0.1",
        b"::ffff:",
        b"10.0.0.1",
        b"\x7f\0\0\x01",
        b"\xa9\xfe\xa9\xfe",
        b"%eth0",
        b"\0" * 12,
        b"fe80::",
    ],
}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str) -> None:
    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(
        st.one_of(
            st.binary(max_size=40), st.lists(st.sampled_from(PIECES[name]), max_size=12).map(b"".join)
        )
    )
    def fed(data: bytes) -> None:
        TARGETS[name](data)

    for seed in SEEDS[name]:
        fed = example(seed)(fed)
    fed()


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@given(values, st.integers(0, 3), st.booleans())
@settings(derandomize=True, deadline=None, database=None)
def test_every_spelling_of_a_value_is_one_canonical_text(value: Any, indent: int, ascii_only: bool) -> None:
    spelt = json.dumps(value, indent=indent or None, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    read = strict_json.parse_json(spelt)
    text = strict_json.canonical_json(read)
    assert strict_json.parse_json(text) == value
    assert strict_json.canonical_json(strict_json.parse_json(text)) == text


@given(st.binary(min_size=38, max_size=38), st.data())
@settings(derandomize=True, deadline=None, database=None)
def test_a_key_is_known_by_its_name_and_no_damage_of_it_is_a_key(
    random: bytes, data: st.DataObject
) -> None:
    given_bytes = iter(random)
    key = api_keys.issue(lambda size: bytes(next(given_bytes) for _ in range(size)))
    assert api_keys.key_id_of(key) == random[32:].hex()
    assert api_keys.opens(key, api_keys.digest(key, b"pepper"), b"pepper")
    position = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.characters().filter(lambda letter: letter != key[position]))
    for damaged in (key[:position] + other + key[position + 1 :], key[:position], key + other, other + key):
        assert api_keys.key_id_of(damaged) is None
        assert not api_keys.opens(
            damaged.encode(errors="replace").decode(), api_keys.digest(key, b"p"), b"p"
        )
