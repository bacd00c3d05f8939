"""Large texts. A payload or an answer of more than 4 KiB is stored once, apart from the row that names it.

A step that was read has only the names of its large texts; `application.bodies` reads them.
"""

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

INLINE_MAX_BYTES: Final = 4 * 1024

# Where a text is: "" nowhere yet, "row" in the row after all, as it is small when it is packed; any other
# is a place of the store.
Place = str


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """A large text, named by its content. It equals every text with this content, read or not.

    `step_id` is the step under whose id it is stored, or whose row it is in. `until_ms`: it is kept until
    then, and for as long as the row that names it. `text` is the text itself, where it was read or posted.
    """

    digest: str
    size: int
    step_id: str = ""
    place: Place = ""
    until_ms: int = 0
    text: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, text: bytes) -> "Blob":
        """The text, not stored yet."""
        return cls(sha256(text).hexdigest(), len(text), text=text)

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bytes):
            return self.size == len(other) and self.digest == sha256(other).hexdigest()
        return self.digest == other.digest if isinstance(other, Blob) else NotImplemented

    def __hash__(self) -> int:
        raise TypeError("a text may be bytes or a blob, whose hashes differ")


Text = bytes | Blob


def text_of(text: Text) -> Text:
    """The text as steps have it: a large one as a blob."""
    return Blob.of(text) if isinstance(text, bytes) and len(text) > INLINE_MAX_BYTES else text


def is_at_hand(text: Text) -> bool:
    """Whether the text was posted or read."""
    return isinstance(text, bytes) or text.text is not None


def at_hand(text: Text) -> bytes:
    """The text itself, which must have been posted or read."""
    if isinstance(text, bytes):
        return text
    if text.text is None:
        raise RuntimeError(f"the text of {text.step_id} was not read")
    return text.text


def row_text(blob: Blob, step_id: str) -> bytes | None:
    """A large text as the row of the step has it; None when the row only names it.

    Raises ValueError when it is not stored.
    """
    if blob.step_id != step_id or not blob.place:
        raise ValueError(f"a large text of {step_id} is not stored")
    return at_hand(blob) if blob.place == "row" else None


def as_stored(blob: Blob, step_id: str) -> Blob:
    """A large text as the row of the step gives it back. Raises ValueError when it is not stored."""
    return blob if row_text(blob, step_id) is not None else replace(blob, text=None)


def name_record(blob: Blob) -> dict[str, Any] | None:
    """How a row names a text that is stored apart; None for one that is in the row."""
    if blob.place == "row":
        return None
    return {"digest": blob.digest, "size": blob.size, "place": blob.place, "until_ms": blob.until_ms}


def named_text(name: dict[str, Any] | None, in_row: bytes, step_id: str) -> Blob:
    """The large text of a row, from what `name_record` and `row_text` gave."""
    if name is not None:
        return Blob(step_id=step_id, **name)
    return replace(Blob.of(in_row), step_id=step_id, place="row")
