"""Parts of a page that a script writes: they stand between two markers."""


def replaced(page: str, begin: str, end: str, text: str) -> str:
    """The page with this text between its markers. Raises ValueError if it lacks them."""
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page lacks {begin.strip()!r} or {end.strip()!r}")
    return before + begin + text + end + after
