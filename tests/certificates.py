"""Certificates for tests of TLS, created for each run."""

import datetime
import ipaddress
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Certificates(NamedTuple):
    """`ca` signed `good` (127.0.0.1, localhost) and `other` (other.test); `lone` is self-signed."""

    ca: Path
    good: Path
    other: Path
    old: Path
    lone: Path


def make_certificates(folder: Path) -> Certificates:
    """Create the certificates in the folder. Skips the test if `cryptography` is not installed."""
    x509 = pytest.importorskip("cryptography.x509", reason="needs `cryptography` to make certificates")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)

    def make(name: str, names: list[Any], issuer: Any = None, until: datetime.datetime = now + day) -> Any:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer_name, issuer_key = issuer or (subject, key)
        builder = x509.CertificateBuilder(issuer_name, subject, key.public_key(), 1000 + len(name))
        builder = builder.not_valid_before(now - 3 * day).not_valid_after(until)
        builder = builder.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / name).write_bytes(private + certificate.public_bytes(pem))
        return subject, key

    here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    ca = make("ca", [])
    make("good", here, ca)
    make("other", [x509.DNSName("other.test")], ca)
    make("old", here, ca, now - day)
    make("lone", here)
    return Certificates(*(folder / name for name in Certificates._fields))
