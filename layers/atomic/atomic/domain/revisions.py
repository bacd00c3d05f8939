"""Revisions of runs: what of a run a reader has, so that the next answer has only what changed since.

Steps are in 256 parts, by their ids. A revision has for each part how often its rows were written in all.
A row is written once more with each change and stays as long as its run, so a part is unchanged if its
number is. A revision also has when its run was created: a key may begin a new run with the same ids. It is
as exact as the rows, needs no clock, and nothing is kept for it.
"""

import base64
import struct
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

_PARTS: Final = 256
_NUMBERS: Final = struct.Struct(f">Q{_PARTS}I")
_NUMBER_MAX: Final = 2**32 - 1


class Written(Protocol):
    """A row, or the outline of one."""

    @property
    def id(self) -> str:
        """The id of the step."""
        ...

    @property
    def version(self) -> int:
        """How often it was written."""
        ...


class Revision(NamedTuple):
    """What a reader has of the run of this time of creation: how often each part was written."""

    created_at_ms: int
    written: tuple[int, ...]

    def as_text(self) -> str:
        """The revision for a URL."""
        numbers = (min(number, _NUMBER_MAX) for number in self.written)
        packed = zlib.compress(_NUMBERS.pack(self.created_at_ms, *numbers))
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def revision_of(created_at_ms: int, rows: Iterable[Written]) -> Revision:
    """The revision of a reader who has these steps."""
    numbers = [0] * _PARTS
    for row in rows:
        numbers[_part_of(row.id)] += row.version
    return Revision(created_at_ms, tuple(numbers))


def read_revision(text: str) -> Revision:
    """A revision as a query string has it. Raises ValueError."""
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        created_at_ms, *written = _NUMBERS.unpack(
            zlib.decompressobj().decompress(packed, _NUMBERS.size + 1)
        )
    except (ValueError, zlib.error, struct.error) as error:
        raise ValueError(text) from error
    return Revision(created_at_ms, tuple(written))


def changed_since(had: Revision, now: Revision, rows: Iterable[Written]) -> list[str]:
    """The ids of the steps, which are at `now`, that a reader who `had` others may not have as they are."""
    parts = {part for part in range(_PARTS) if had.written[part] != now.written[part]}
    return [row.id for row in rows if _part_of(row.id) in parts]


def _part_of(step_id: str) -> int:
    return zlib.crc32(step_id.encode()) % _PARTS
