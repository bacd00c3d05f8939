"""The clients of a locked home, the same on every home: how each is made is the home's own affair.

alpha and beta may do everything, slow may start few. Each client `only-…` has a second key with one scope,
which `keys` holds as `only-…:scoped`.
"""

from collections.abc import Sequence

from atomic.application.client_admin import ClientAdmin
from atomic.protocol.client_records import SCOPES, Limits

STARTS_PER_S = 3.0
ORDINARY = ("alpha", "beta")
SLOW = "slow"
SCOPED = {f"only-{scope}": scope for scope in SCOPES}


def scoped(client: str) -> str:
    """The name of a client's second key."""
    return f"{client}:scoped"


def create_locked(admin: ClientAdmin, base_urls: Sequence[str]) -> dict[str, str]:
    """Make them where a home keeps its clients; their keys."""
    keys = {}
    for name in (*ORDINARY, SLOW, *SCOPED):
        limits = Limits(starts_per_s=STARTS_PER_S if name == SLOW else None)
        keys[name], _ = admin.create(name, base_urls=base_urls, limits=limits)
    for name, scope in SCOPED.items():
        keys[scoped(name)] = admin.rotate_key(name, scopes=[scope])
    return keys
