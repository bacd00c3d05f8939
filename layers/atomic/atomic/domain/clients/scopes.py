"""What an API key may do."""

from collections.abc import Iterable
from typing import Final

from atomic.protocol.enums import SCOPES, Scope

SCOPES_DEFAULT: Final[tuple[Scope, ...]] = ("start", "read", "act")
# What keys of the operator may do: make clients, say what they may use, and manage their keys.
OPERATOR_SCOPE: Final = "operator"


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes in their usual order. Raises ValueError for none and for unknown ones."""
    given = set(scopes)
    if not given or not given <= set(SCOPES):
        raise ValueError(f"scopes are {', '.join(SCOPES)}; give one of them or more")
    return tuple(scope for scope in SCOPES if scope in given)


def has_scope(scopes: Iterable[str], wanted: str) -> bool:
    """Whether a key with these scopes may do what asks for `wanted`: `act` holds `signal`."""
    given = set(scopes)
    return wanted in given or (wanted == "signal" and "act" in given)
