"""The signature check in the documentation accepts what Atomic signs, and nothing else."""

import time
from types import ModuleType

from atomic.protocol import signatures
from docs.pages import DOCS, file_on

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


def test_the_shown_check_accepts_atomics_calls_and_nothing_else() -> None:
    shown = ModuleType("signed")
    exec(file_on(DOCS / "without-sdk.md", "signed.py"), shown.__dict__)
    now_s, body = int(time.time()), b'{"payload": 1}'
    secrets = (signatures.decode_secret(SECRET),)

    def is_accepted(at_s: int, received: bytes) -> bool:
        signed = signatures.sign(secrets, "run_1-root", at_s, body)
        headers = {
            "webhook-id": "run_1-root",
            "webhook-timestamp": str(at_s),
            "webhook-signature": f"v1,AAAA {signed}",
        }
        taken: bool = shown.is_signed(SECRET, headers, received)
        return taken

    assert is_accepted(now_s, body)
    assert not is_accepted(now_s, body + b" ")
    assert not is_accepted(now_s - 301, body)
