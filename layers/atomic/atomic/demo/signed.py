"""The signature of a call: Standard Webhooks 1.0."""

import base64
import hmac
import time
from collections.abc import Mapping
from email.message import Message


def is_signed(secret: str, headers: Mapping[str, str] | Message, body: bytes) -> bool:
    """Whether the body is signed with `secret` (`whsec_…`), at most five minutes ago."""
    sent = headers.get("webhook-timestamp", "")
    if not (sent.isdecimal() and len(sent) < 12 and abs(time.time() - int(sent)) <= 300):
        return False
    signed = f"{headers.get('webhook-id', '')}.{sent}.".encode() + body
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
    expected = b"v1," + base64.b64encode(digest)
    offered = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(expected, one.encode()) for one in offered)
