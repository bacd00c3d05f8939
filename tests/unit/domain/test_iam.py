"""Which rule of a client lets in a caller that AWS has authenticated."""

import pytest

from atomic.domain.clients.iam import ROLES_MAX, check_roles, role_of

ROLE = "arn:aws:iam::123456789012:role/shop"
DEEP = "arn:aws:iam::123456789012:role/service-role/teams/worker"
USER = "arn:aws:iam::123456789012:user/ada"
CHINA = "arn:aws-cn:iam::123456789012:role/shop"
RULES = (ROLE, DEEP, USER)


@pytest.mark.parametrize(
    ("caller", "rule"),
    [
        ("arn:aws:sts::123456789012:assumed-role/shop/session-1", ROLE),
        # The ARN of a session lacks the path of its role.
        ("arn:aws:sts::123456789012:assumed-role/worker/i-0abc", DEEP),
        (USER, USER),
        ("arn:aws:sts::210987654321:assumed-role/shop/session-1", None),
        ("arn:aws:sts::123456789012:assumed-role/shop2/session-1", None),
        ("arn:aws:sts::123456789012:assumed-role/ada/session-1", None),
        ("arn:aws:sts::123456789012:assumed-role/teams/worker", None),
        ("arn:aws-cn:sts::123456789012:assumed-role/shop/session-1", None),
        ("arn:aws:iam::123456789012:user/bob", None),
        ("arn:aws:iam::123456789012:root", None),
        # Nobody calls as a role itself.
        (ROLE, None),
        ("arn:aws:sts::123456789012:federated-user/shop", None),
        ("", None),
    ],
)
def test_a_caller_is_let_in_by_its_role(caller: str, rule: str | None) -> None:
    assert role_of(caller, RULES) == rule


def test_a_rule_is_of_one_partition() -> None:
    assert role_of("arn:aws-cn:sts::123456789012:assumed-role/shop/s", [CHINA]) == CHINA


@pytest.mark.parametrize(
    "role",
    ["shop", "*", "arn:aws:iam::123456789012:role/*", "arn:aws:iam::123456789012:root", f"{ROLE}\n", ""],
)
def test_a_rule_names_one_role(role: str) -> None:
    with pytest.raises(ValueError, match="role/shop"):
        check_roles([role])


def test_rules_are_kept_once_and_not_without_end() -> None:
    assert check_roles([ROLE, USER, ROLE]) == (ROLE, USER)
    with pytest.raises(ValueError, match="at most 50"):
        check_roles([f"{ROLE}{number}" for number in range(ROLES_MAX + 1)])
