"""Tells damage of the write-ahead log from an incomplete tail after a power cut; SQLite treats both alike.

SQLite reads the log up to the first frame with a wrong checksum and silently drops the rest. That is right
for an incomplete tail. With `synchronous=FULL` each commit is synced before the next transaction
writes its first frame, so a power cut can damage the last transaction only. If two commits or more follow
that frame, synced bytes have changed, and acknowledged rows would be missing.

The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

_HEADER_BYTES: Final = 32
_FRAME_BYTES: Final = 24  # before each page
_NOT_A_COMMIT: Final = bytes(4)


def is_damaged(log: Path, page_size: int, valid_frames: Callable[[], int]) -> bool:
    """Whether the log has lost commits that had been synced.

    `valid_frames` returns how many frames SQLite reads. It is called after the log was read, so that a
    commit of another process in between does no harm. Damage to the last transaction alone is not seen.
    """
    header, commits = _commits(log, page_size)
    if not commits:
        return False
    valid = valid_frames()
    if header != _header(log):
        return False  # another process has just restarted the log, and can read it
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
        return b"", []  # another process has just emptied the log, and can read it
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
