"""The enumerations of the protocol: type checkers and the engine use the same values."""

from typing import get_args

from atomic.protocol.enums import LIVE, SETTLED, OutcomeKind, OutcomeName, Status, StatusName


def test_names_and_members_are_the_same_words_in_the_same_order() -> None:
    assert get_args(StatusName) == tuple(Status)
    assert get_args(OutcomeName) == tuple(OutcomeKind)


def test_each_state_is_live_or_settled() -> None:
    assert frozenset(Status) == LIVE | SETTLED
    assert not LIVE & SETTLED
