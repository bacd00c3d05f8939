"""Callers that AWS itself has authenticated (IAM), and the rule of a client that lets them in."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

ROLES_MAX: Final = 50
_RULE: Final = re.compile(
    r"arn:(aws[a-z-]*):iam::([0-9]{12}):(role|user)/((?:[\w+=,.@-]+/)*)([\w+=,.@-]+)", re.ASCII
)
_SESSION: Final = re.compile(
    r"arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([\w+=,.@-]+)/[\w+=,.@-]+", re.ASCII
)


def check_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """The ARNs of roles and users in the form that is stored. Raises ValueError with the cure."""
    if len(roles) > ROLES_MAX:
        raise ValueError(f"at most {ROLES_MAX} roles can be kept")
    for role in roles:
        if not _RULE.fullmatch(role):
            raise ValueError(
                f"{role!r} is no role: give the ARN of a role or a user of IAM, without stars, as in "
                "arn:aws:iam::123456789012:role/shop"
            )
    return tuple(dict.fromkeys(roles))


def role_of(caller: str, roles: Iterable[str]) -> str | None:
    """The rule that lets a caller in: its role, or the user itself; None for others.

    `caller` is the ARN of a session or of a user. That of a session lacks the path of its role, but a name
    is given only once in an account.
    """
    session = _SESSION.fullmatch(caller)
    if session is None:
        return caller if caller in roles and ":user/" in caller else None
    found = (rule for rule in map(_RULE.fullmatch, roles) if rule and rule[3] == "role")
    return next((rule[0] for rule in found if (rule[1], rule[2], rule[5]) == session.groups()), None)
