"""What `atomic doctor` finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and its result: `ok` is None if it could not be made; `advice` says what to do."""

    check: str
    ok: bool | None
    advice: str
