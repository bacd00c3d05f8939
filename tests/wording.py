"""The wording of refusals."""

from collections.abc import Sequence


def one_of(words: Sequence[str]) -> str:
    """The allowed values of a member, as a refusal lists them: 'a', 'b' or 'c'."""
    *others, last = map(repr, words)
    return f"{', '.join(others)} or {last}"
