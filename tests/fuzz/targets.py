"""Properties of the parsers and of the SSRF guard that must hold for any bytes.

Each target takes bytes, and raises AssertionError or an unexpected exception of the code under test. `make
fuzz` runs them guided by coverage (atheris); `tests/unit/test_fuzz_targets.py` runs a few cases by
Hypothesis.
"""

import json
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from atomic.adapters.http.addresses import is_public, is_public_or_private
from atomic.domain.clients import api_keys
from atomic.protocol import headers, strict_json, urls
from atomic.protocol.problems import Problem
from atomic.protocol.strict_json import JsonRefused, read_json

Target = Callable[[bytes], None]


def json_in_and_out(data: bytes) -> None:
    """JSON is read or refused, alike by the fast and the careful parser; canonical JSON stays as it is."""
    try:
        value = strict_json.parse_json(data)
    except JsonRefused:
        _refused_with_care(data)
        return
    text = strict_json.canonical_json(value)
    assert text == strict_json.canonical_json(read_json(data))
    assert strict_json.canonical_json(strict_json.parse_json(text)) == text
    assert strict_json.canonical_json(json.loads(text)) == text
    assert len(strict_json.fingerprint(text)) == 64


def _refused_with_care(data: bytes) -> None:
    try:
        read_json(data)
    except JsonRefused:
        return
    raise AssertionError("refused by one parser and accepted by the other")


def url(data: bytes) -> None:
    """A URL is refused, or it survives being split and joined, and other parsers read it the same way."""
    text = data.decode("latin-1")
    try:
        parts = urls.parse_url(text)
    except ValueError:
        return
    again = f"{parts.scheme}://{parts.authority}{parts.target}"
    assert urls.parse_url(again) == parts
    other = urlsplit(text)
    assert (other.scheme, other.port or parts.port) == (parts.scheme, parts.port)
    assert other.username is None
    host = other.hostname or ""
    assert (str(ip_address(host)) if parts.is_literal else host) == parts.host
    root, other_host = f"{parts.scheme}://{parts.authority}", f"{parts.scheme}://other.example"
    assert not urls.is_under(text, [other_host]) or parts.host == "other.example"
    if urls.is_under(text, [f"{root}/app"]):
        assert urls.is_under(text, [root])
        assert parts.path.startswith("/app")
        assert not {".", ".."} & set(parts.path.split("/"))


def ascii_host(data: bytes) -> None:
    """A non-ASCII host is refused, or is converted to one that the parser accepts."""
    text = data.decode(errors="replace")
    try:
        kept = urls.with_ascii_host(text)
    except ValueError:
        return
    assert urls.with_ascii_host(kept) == kept


def api_key(data: bytes) -> None:
    """A damaged key is no valid key, and a valid key has a unique id."""
    text = data.decode("latin-1")
    found = api_keys.key_id_of(text)
    assert found is None or text.startswith(f"atm_{found}_")
    given = iter((data + bytes(38))[:38])
    key = api_keys.issue(lambda size: bytes(next(given) for _ in range(size)))
    assert api_keys.key_id_of(key) is not None
    position = sum(data) % len(key)
    for damaged in (
        key[:position] + chr(33 + len(data) % 90) + key[position + 1 :],
        key[:position],
        key + text[:1],
    ):
        assert damaged == key or api_keys.key_id_of(damaged) is None


def header_values(data: bytes) -> None:
    """Any header value is parsed to a valid value or to none."""
    text = data.decode("latin-1")
    try:
        preferences = headers.parse_prefer(text)
        assert preferences.wait_ms is None or preferences.wait_ms >= 0
        assert preferences.applied().isascii()
    except Problem as refused:
        if refused.type.status != 400:
            raise
    wait_ms = headers.parse_retry_after_ms(text, 1_700_000_000_000)
    assert wait_ms is None or wait_ms >= 0
    trace_id, unsampled = headers.parse_trace(text)
    assert not unsampled if trace_id is None else (len(trace_id) == 32 and int(trace_id, 16) > 0)
    assert isinstance(headers.parse_idempotency_key(text), str)


def guard(data: bytes) -> None:
    """An address that the standard library calls special is never dialled, however it is embedded."""
    text = data.decode("latin-1")
    assert not is_public(text) or is_public_or_private(text)
    for size in (4, 16):
        if len(data) >= size:
            _guarded(data[:size])


def _guarded(packed: bytes) -> None:
    address = ip_address(packed)
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_multicast
    elif len(packed) == 4:
        # Mapped, compatible, NAT64, 6to4: no other form of a forbidden address is allowed.
        for spelling in (
            b"\0" * 10 + b"\xff\xff" + packed,
            b"\0" * 12 + packed,
            b"\0\x64\xff\x9b" + b"\0" * 8 + packed,
            b"\x20\x02" + packed + b"\0" * 10,
        ):
            assert not is_public(str(ip_address(spelling)))


TARGETS: Final[dict[str, Target]] = {
    "strict-json": json_in_and_out,
    "url": url,
    "ascii-host": ascii_host,
    "api-key": api_key,
    "headers": header_values,
    "guard": guard,
}

# Seeds for the fuzzer's corpus.
SEEDS: Final[dict[str, tuple[bytes, ...]]] = {
    "strict-json": (
        b'{"a":[1,2.5e3,"\\u00e9",null,true],"b":{"a":-0.0}}',
        b"[1e999,NaN]",
        b'"\\ud800"',
        b"[" * 70,
    ),
    "url": (
        b"https://app.example:8443/a/b?c=d",
        b"http://[::ffff:127.0.0.1]:80/%2e%2e/",
        b"https://0x7f.1/",
    ),
    "ascii-host": ("https://bücher.example/ä".encode(), "https://faß.example".encode()),
    "api-key": (b"atm_0123456789ab_" + b"A" * 49, b""),
    "headers": (
        b'wait=8, respond-async; x="y"',
        b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        b"Wed, 21 Oct 2026 07:28:00 GMT",
        b'"quoted \\" key"',
    ),
    "guard": (
        b"\x7f\0\0\x01",
        b"\x08\x08\x08\x08",
        b"\0" * 10 + b"\xff\xff\x7f\0\0\x01",
        b"::ffff:10.0.0.1",
        b"fe80::1%eth0",
    ),
}
