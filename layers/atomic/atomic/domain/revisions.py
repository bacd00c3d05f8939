"""Revisions of runs: what of a run a reader has, so that the next answer has only what changed since.

Steps are in 256 parts, by their ids. A revision has for each part how often its rows were written in all.
A row is written once more with each change and is never taken away, so a part is unchanged if its number
is. A revision is as exact as the rows, needs no clock, and nothing is kept for it.
"""

import base64
import struct
import zlib
from collections.abc import Iterable
from typing import Final, Protocol

_PARTS: Final = 256
_NUMBERS: Final = struct.Struct(f">{_PARTS}I")
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


def revision_of(rows: Iterable[Written]) -> str:
    """The revision of a reader who has these steps, as a text for a URL."""
    numbers = _NUMBERS.pack(*(min(number, _NUMBER_MAX) for number in _numbers_of(rows)))
    return base64.urlsafe_b64encode(zlib.compress(numbers)).decode().rstrip("=")


def read_revision(text: str) -> str:
    """A revision as a query string has it. Raises ValueError."""
    _read(text)
    return text


def changed_since(revision: str, rows: Iterable[Written]) -> list[str]:
    """The ids of the steps that a reader with this revision may not have as they are."""
    listed = list(rows)
    had, numbers = _read(revision), _numbers_of(listed)
    return [row.id for row in listed if had[_part_of(row.id)] != numbers[_part_of(row.id)]]


def _numbers_of(rows: Iterable[Written]) -> list[int]:
    numbers = [0] * _PARTS
    for row in rows:
        numbers[_part_of(row.id)] += row.version
    return numbers


def _part_of(step_id: str) -> int:
    return zlib.crc32(step_id.encode()) % _PARTS


def _read(text: str) -> tuple[int, ...]:
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        numbers: tuple[int, ...] = _NUMBERS.unpack(
            zlib.decompressobj().decompress(packed, _NUMBERS.size + 1)
        )
    except (ValueError, zlib.error, struct.error) as error:
        raise ValueError(text) from error
    return numbers
