"""Ed25519 signatures, for receivers that must not know a secret.

Key pairs are derived from signing secrets and rotate with them, so nothing more is stored. Needs the extra
`ed25519` (`cryptography`), which is imported on first use.
"""

import base64
import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_PREFIX: Final = "whpk_"
_PURPOSE: Final = b"atomic ed25519 v1"


def sign(secret: bytes, message: bytes) -> bytes:
    """The signature by the private key of a signing secret, 64 bytes."""
    return _private_key(secret).sign(message)


def public_key(secret: bytes) -> bytes:
    """The public key of a signing secret, 32 bytes."""
    return _private_key(secret).public_key().public_bytes_raw()


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the owner of the public key signed the message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def encode_public_key(public: bytes) -> str:
    """The printable form of Standard Webhooks: `whpk_` and base64."""
    return PUBLIC_PREFIX + base64.b64encode(public).decode()


def decode_public_key(text: str) -> bytes:
    """The bytes of a printable public key. Raises ValueError when it is none."""
    try:
        public = base64.b64decode(text.removeprefix(PUBLIC_PREFIX), validate=True)
    except ValueError:
        public = b""
    if len(public) != 32:
        raise ValueError(f"a public key is {PUBLIC_PREFIX} and the base64 of 32 bytes")
    return public


def jwk(public: bytes) -> dict[str, Any]:
    """The public key as RFC 8037 writes it."""
    encoded = base64.urlsafe_b64encode(public).decode().rstrip("=")
    kid = hashlib.sha256(public).hexdigest()[:16]
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": encoded}


@lru_cache(maxsize=1024)
def _private_key(secret: bytes) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(hmac.digest(secret, _PURPOSE, hashlib.sha256))
