"""How refusals put things into words."""

from collections.abc import Sequence


def one_of(words: Sequence[str]) -> str:
    """The words that a member may have, as a refusal lists them: 'a', 'b' or 'c'."""
    *others, last = map(repr, words)
    return f"{', '.join(others)} or {last}"
