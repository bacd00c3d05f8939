"""The write-ahead log: a tail torn by a power cut and damage to what was synced look alike to SQLite.

SQLite reads the log up to the first frame whose checksum does not fit and drops the rest without a word.
That is right for a torn tail. With `synchronous=FULL` each commit is synced before the next transaction
writes its first frame, so a power cut can tear one transaction, the last. When two commits or more stand
behind the end, bytes that had been synced have changed: acknowledged rows would be missing.

The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

_HEADER_BYTES: Final = 32
_FRAME_BYTES: Final = 24  # in front of each page
_NOT_A_COMMIT: Final = bytes(4)


def is_damaged(log: Path, page_size: int, valid_frames: Callable[[], int]) -> bool:
    """Whether the log has lost commits that had been synced.

    `valid_frames` tells how many frames SQLite reads; it is asked after the log was looked at, so that a
    commit of another process in between does no harm. Damage to the last transaction alone is not seen.
    """
    header, commits = _commits(log, page_size)
    if not commits:
        return False
    valid = valid_frames()
    if header != _header(log):
        return False  # somebody else has just begun it anew, and can read it
    return not _is_whole(header) or sum(number >= valid for number in commits) > 1


def _header(log: Path) -> bytes:
    with log.open("rb") as file:
        return file.read(_HEADER_BYTES)


def _commits(log: Path, page_size: int) -> tuple[bytes, list[int]]:
    """The header, and which of the frames that belong to it end a transaction."""
    if not log.exists() or log.stat().st_size < _HEADER_BYTES:
        return b"", []
    header, found = _header(log), []
    if len(header) < _HEADER_BYTES:
        return b"", []  # somebody else has just emptied it, and can read it
    # An unreadable header names no salts to compare with.
    salts = header[16:24] if _is_whole(header) else None
    frame_bytes = _FRAME_BYTES + page_size
    with log.open("rb") as file:
        for number in range((log.stat().st_size - _HEADER_BYTES) // frame_bytes):
            file.seek(_HEADER_BYTES + number * frame_bytes)
            frame = file.read(_FRAME_BYTES)
            if len(frame) < _FRAME_BYTES:
                break
            if frame[4:8] != _NOT_A_COMMIT and salts in {None, frame[8:16]}:
                found.append(number)
    return header, found


def _is_whole(header: bytes) -> bool:
    """Whether the header's checksum fits."""
    is_big_endian = header[3] & 1
    words = struct.unpack(">6I" if is_big_endian else "<6I", header[:24])
    first = second = 0
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return struct.pack(">2I", first, second) == header[24:32]
