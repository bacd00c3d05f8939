"""The clients of a runtime with API keys, the same on every runtime; each runtime creates them in its way.

alpha and beta may start, read and act; slow has a low start rate; small has a low storage quota; private
has `REDACT` redacted. Each client `only-…` has a second key with one scope, which `keys` holds as
`only-…:scoped`. So has each client `managed-…`, whose keys or secrets one scenario changes. The operator
has a key as well, and uses it on `operated`.
"""

from collections.abc import Sequence

from atomic.application.client_admin import ClientAdmin
from atomic.domain.clients.quota import Quota
from atomic.protocol.enums import SCOPES

STARTS_PER_S = 3.0
ORDINARY = ("alpha", "beta")
SLOW = "slow"
SCOPED = {f"only-{scope}": scope for scope in SCOPES}
SMALL = "small"
STORED_BYTES = 1000
PRIVATE = "private"
REDACT = ("email", "card.number")
MANAGED = ("managed-keys", "managed-secrets", "managed-ends")
LIVE_STEPS = 1000
OPERATED = "operated"
OPERATOR = "the operator"


def scoped(client: str) -> str:
    """The name in `keys` of a client's second key."""
    return f"{client}:scoped"


def create_locked(admin: ClientAdmin, base_urls: Sequence[str]) -> dict[str, str]:
    """Create the clients in a runtime's client store; return their keys."""
    keys = {}
    for name in (*ORDINARY, SLOW, SMALL, PRIVATE, *SCOPED, *MANAGED, OPERATED):
        quota = Quota(
            starts_per_second=STARTS_PER_S if name == SLOW else None,
            live_steps=LIVE_STEPS if name in MANAGED else None,
            stored_bytes=STORED_BYTES if name == SMALL else None,
        )
        redact = REDACT if name == PRIVATE else ()
        keys[name], _ = admin.create(name, base_urls=base_urls, quota=quota, redact=redact)
    for name, scope in {**SCOPED, **dict.fromkeys(MANAGED, "admin")}.items():
        keys[scoped(name)], _ = admin.add_key(name, scopes=[scope])
    keys[OPERATOR], _ = admin.create_operator_key()
    return keys
