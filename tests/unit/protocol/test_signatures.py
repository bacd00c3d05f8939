"""Standard Webhooks signatures, compared with the scheme's own library as the oracle."""

import base64
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from atomic.protocol import ed25519, signatures
from atomic.protocol.signatures import (
    SignatureRefused,
    decode_secret,
    encode_secret,
    sign,
    sign_target,
    verify,
    verify_target,
)
from forgeries import Signed, forgeries
from unit.strategies import examples

OLD, NEW, OTHER = b"o" * 24, b"n" * 32, b"x" * 64
BODY = b'{"idempotencyKey":"k1","payload":null}'
NOW_S = 1_700_000_000


def signed(*secrets: bytes, at_s: int = NOW_S, body: bytes = BODY) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign(secrets, "msg_1", at_s, body),
    }


def test_the_example_of_the_specification() -> None:
    secret = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@examples(100)
@given(st.binary(min_size=24, max_size=64), st.text("abc_0123", min_size=1, max_size=9), texts)
def test_what_we_sign_the_oracle_signs_alike(secret: bytes, message_id: str, body: str) -> None:
    theirs = Webhook(encode_secret(secret)).sign(message_id, datetime.fromtimestamp(NOW_S, UTC), body)
    assert sign([secret], message_id, NOW_S, body.encode()) == theirs
    offered = {"webhook-id": message_id, "webhook-timestamp": str(NOW_S), "webhook-signature": theirs}
    verify([secret], offered, body.encode(), now_s=NOW_S)


@pytest.mark.parametrize("known", [OLD, NEW])
def test_the_oracle_accepts_either_secret_while_both_sign(known: bytes) -> None:
    now_s = int(time.time())
    Webhook(encode_secret(known)).verify(BODY, signed(OLD, NEW, at_s=now_s))


@pytest.mark.parametrize(
    ("signing", "accepting"),
    [([OLD], [OLD]), ([OLD], [OLD, NEW]), ([OLD, NEW], [NEW]), ([OLD, NEW], [OLD]), ([NEW], [OLD, NEW])],
)
def test_rotation_refuses_no_call(signing: list[bytes], accepting: list[bytes]) -> None:
    verify(accepting, signed(*signing), BODY, now_s=NOW_S)


@pytest.mark.parametrize("off_s", [-300, -1, 0, 1, 300])
def test_clocks_may_differ_by_five_minutes(off_s: int) -> None:
    verify([OLD], signed(OLD), BODY, now_s=NOW_S + off_s)


@pytest.mark.parametrize("off_s", [-301, 301, -NOW_S, 10**12])
def test_clocks_may_not_differ_by_more(off_s: int) -> None:
    with pytest.raises(SignatureRefused, match="more than five minutes off; check the clocks"):
        verify([OLD], signed(OLD), BODY, now_s=NOW_S + off_s)


GOOD = signed(OLD)
VALUE = GOOD["webhook-signature"].removeprefix("v1,")


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": "msg_1\udc80"},
        {"webhook-timestamp": str(NOW_S + 1)},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": VALUE},
        {"webhook-signature": f"v2,{VALUE}"},
        {"webhook-signature": f"v1,{VALUE[:-1]}"},
        {"webhook-signature": f"v1,{VALUE.swapcase()}"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": "v1,\udc80"},
        {"webhook-signature": sign([OTHER], "msg_1", NOW_S, BODY)},
        {"webhook-signature": sign([OLD], "msg_1", NOW_S, BODY + b" ")},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": f"{NOW_S}.5"},
        {"webhook-timestamp": "9" * 5000},
        # Other spellings of the signed timestamp.
        {"webhook-timestamp": f"+{NOW_S}"},
        {"webhook-timestamp": f"0{NOW_S}"},
        {"webhook-timestamp": f" {NOW_S}"},
        {"webhook-timestamp": f"{NOW_S}\n"},
        {"webhook-timestamp": f"1_{str(NOW_S)[1:]}"},
        {"webhook-timestamp": "".join(chr(0xFF10 + int(digit)) for digit in str(NOW_S))},
    ],
    ids=repr,
)
def test_a_tampered_header_is_refused(changed: Mapping[str, str]) -> None:
    with pytest.raises(SignatureRefused):
        verify([OLD], {**GOOD, **changed}, BODY, now_s=NOW_S)


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b"\n", BODY.replace(b"k1", b"k2"), b"\xff"])
def test_a_tampered_body_is_refused(body: bytes) -> None:
    with pytest.raises(SignatureRefused, match="no signature matches; check the signing secret"):
        verify([OLD], GOOD, body, now_s=NOW_S)


@pytest.mark.parametrize("missing", list(GOOD))
def test_a_missing_header_is_refused(missing: str) -> None:
    with pytest.raises(SignatureRefused, match="missing or malformed"):
        verify([OLD], {name: value for name, value in GOOD.items() if name != missing}, BODY, now_s=NOW_S)


@pytest.mark.parametrize("secrets", [[], [NEW], [NEW, OTHER]])
def test_a_secret_that_did_not_sign_accepts_nothing(secrets: list[bytes]) -> None:
    with pytest.raises(SignatureRefused):
        verify(secrets, GOOD, BODY, now_s=NOW_S)


def test_one_good_signature_among_foreign_ones_is_enough() -> None:
    offered = f"v1a,abc {GOOD['webhook-signature']} v1,xxxx"
    verify([OLD], {**GOOD, "webhook-signature": offered}, BODY, now_s=NOW_S)


def test_the_time_stamp_that_is_checked_is_the_one_that_is_signed() -> None:
    replayed = {**GOOD, "webhook-timestamp": str(NOW_S + 1000)}
    with pytest.raises(SignatureRefused, match="no signature matches"):
        verify([OLD], replayed, BODY, now_s=NOW_S + 1000)


@examples(100)
@given(st.binary(min_size=24, max_size=64))
def test_secrets_survive_printing(secret: bytes) -> None:
    assert encode_secret(secret).startswith(signatures.SECRET_PREFIX)
    assert decode_secret(encode_secret(secret)) == secret
    assert decode_secret(base64.b64encode(secret).decode()) == secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_é",
        "whsec_a",
        "whsec_!!!!",
        "whsec_QUJD\n",
        "whsec_QUJD",
        "whsec_" + "QUJD" * 22,
    ],
)
def test_what_is_no_secret(text: str) -> None:
    with pytest.raises(ValueError, match="a signing secret is whsec_ and the base64 of"):
        decode_secret(text)


URL = "https://app.example/steps/mail?x=1"
PATH = "/steps/mail"


def bound(*secrets: bytes, url: str = URL, ed25519_too: bool = False) -> dict[str, str]:
    """The headers of an attempt."""
    signature = sign(secrets, "msg_1", NOW_S, BODY, ed25519_too=ed25519_too)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(NOW_S),
        "webhook-signature": signature,
        "atomic-url": url,
        "atomic-signature": sign_target(secrets, url, signature, ed25519_too=ed25519_too),
    }


def takes(headers: Mapping[str, str], body: bytes, path: str, *, by_key: bool) -> None:
    secrets = () if by_key else (OLD,)
    public = (ed25519.public_key(OLD),) if by_key else ()
    verify(secrets, headers, body, now_s=NOW_S, public_keys=public)
    verify_target(secrets, headers, path, public_keys=public)


def made(*secrets: bytes, url: str = URL) -> Signed:
    """A signed call, as an attempt makes it."""
    return Signed(bound(*secrets, url=url, ed25519_too=True), BODY, urlsplit(url).path)


CALL = made(OLD)
FORGED = forgeries(CALL, by_other=made(NEW), elsewhere=made(OLD, url="https://app.example/steps/pay"))


def test_there_are_forty_ways_to_forge() -> None:
    assert len(FORGED) >= 40


@pytest.mark.parametrize("by_key", [False, True], ids=["secret", "public key"])
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_call_is_refused(name: str, by_key: bool) -> None:
    forged = FORGED[name]
    takes(CALL.headers, BODY, PATH, by_key=by_key)
    takes(CALL.headers, BODY, "/mail", by_key=by_key)
    with pytest.raises(SignatureRefused):
        takes(forged.headers, forged.body, forged.path, by_key=by_key)


def test_the_two_versions_do_not_stand_in_for_each_other() -> None:
    only_v1 = bound(OLD)
    with pytest.raises(SignatureRefused):
        takes(only_v1, BODY, PATH, by_key=True)
    renamed = {name: value.replace("v1,", "v1a,") for name, value in only_v1.items()}
    for by_key in (False, True):
        with pytest.raises(SignatureRefused):
            takes(renamed, BODY, PATH, by_key=by_key)


def test_a_public_key_is_checked() -> None:
    text = ed25519.encode_public_key(ed25519.public_key(OLD))
    assert text.startswith("whpk_")
    assert ed25519.decode_public_key(text) == ed25519.public_key(OLD)
    for wrong in ("", "whpk_", text[:-4], text + "AAAA", "whpk_" + "!" * 44):
        with pytest.raises(ValueError, match="public key"):
            ed25519.decode_public_key(wrong)
