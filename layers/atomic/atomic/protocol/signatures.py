"""Standard Webhooks 1.0 signatures (https://www.standardwebhooks.com): HMAC-SHA256 of `id.timestamp.body`.

Every live secret signs, so a receiver that knows any one of
them accepts: that is how secrets rotate without one refused call.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

WEBHOOK_ID: Final = "webhook-id"
WEBHOOK_TIMESTAMP: Final = "webhook-timestamp"
WEBHOOK_SIGNATURE: Final = "webhook-signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public prefix of the format, not a secret
TOLERANCE_S: Final = 300


class SignatureRefused(ValueError):
    """The request was not signed by a known secret within the last five minutes; answer it with 401."""


def encode_secret(secret: bytes) -> str:
    """The printable form of a secret (24 to 64 bytes): `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def decode_secret(text: str) -> bytes:
    """The bytes of a printable secret. Raises ValueError when it is none."""
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        secret = b""
    # Anybody could sign with an empty secret, and the standard wants no short one.
    if not 24 <= len(secret) <= 64:
        raise ValueError(f"a signing secret is {SECRET_PREFIX} and the base64 of 24 to 64 bytes")
    return secret


def sign(secrets: Iterable[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one `v1,<base64>` for each secret, separated by spaces."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets
    )


def verify(secrets: Iterable[bytes], headers: Mapping[str, str], body: bytes, *, now_s: int) -> None:
    """Accept a request that one of the secrets signed; raise SignatureRefused otherwise.

    `headers` has lower-case names. The time stamp may be 300 s off in either direction.
    """
    try:
        message_id = headers[WEBHOOK_ID]
        timestamp_s = int(headers[WEBHOOK_TIMESTAMP])
        offered = headers[WEBHOOK_SIGNATURE].encode().split()
        expected = sign(secrets, message_id, timestamp_s, body).encode().split()
    except (KeyError, ValueError):
        raise SignatureRefused("the webhook-* headers are missing or malformed") from None
    if abs(now_s - timestamp_s) > TOLERANCE_S:
        raise SignatureRefused("the time stamp is more than five minutes off; check the clocks")
    matches = [hmac.compare_digest(mine, theirs) for mine in expected for theirs in offered]
    if not any(matches):
        raise SignatureRefused("no signature matches; check the signing secret of this client")
