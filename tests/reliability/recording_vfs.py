"""A SQLite VFS that computes what a disk could still hold after a power cut.

Files are read and written normally. In addition, the VFS records every write since the last sync of a file.
A cut produces an image: the synced content of each file, and a random part of the writes that were not
synced.
"""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import apsw

_BASE: Final = "unix"
_PIECE: Final = 512  # a sector: the largest piece that a disk writes whole or not at all

Fate = Literal["dropped", "some kept", "torn"]
FATES: Final[tuple[Fate, ...]] = ("dropped", "some kept", "torn")
# The offset, and the bytes; None for a truncation at that offset.
_Change = tuple[int, bytes | None]


@dataclass(slots=True)
class _File:
    durable: bytearray
    is_named: bool
    """Whether the directory on the disk holds the name. The first sync of a new file makes it so."""
    changes: list[_Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.changes:
            _apply(self.durable, change)
        self.changes = []


@dataclass(frozen=True, slots=True)
class Cut:
    """A power cut after a number of writes, and the image that it leaves."""

    after_writes: int
    fate: Fate
    seed: int


class RecordingVfs(apsw.VFS):
    """While it is `installed`, connections of this process use it.

    `on_cut` is called at the moment of the cut, before a later sync can be reported. What happens after the
    cut is not in `image`.
    """

    def __init__(self, cut: Cut, on_cut: Callable[[], None]) -> None:
        super().__init__("recording", _BASE, makedefault=True)
        self.image: dict[str, bytes] | None = None
        self.syncs = 0
        self._cut, self._on_cut = cut, on_cut
        self._files: dict[str, _File] = {}
        # Deleted files whose names are still in the directory on the disk.
        self._deleted: dict[str, _File] = {}
        self._left = cut.after_writes
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def installed(cls, cut: Cut, on_cut: Callable[[], None]) -> Iterator["RecordingVfs"]:
        """Every connection that this process opens uses the VFS while the context lasts."""
        vfs = cls(cut, on_cut)
        try:
            yield vfs
        finally:
            vfs.unregister()
            apsw.set_default_vfs(_BASE)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_RecordedFile":
        """Open a file. At the first time, its content counts as durable."""
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        with self._lock:
            if path.name not in self._files:
                there = path.exists()
                self._files[path.name] = _File(bytearray(path.read_bytes() if there else b""), there)
        return _RecordedFile(self, path.name, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        """Delete a file. Unless the directory is synced, the file may exist again after the cut."""
        super().xDelete(name, syncdir)
        with self._lock:
            gone = self._files.pop(Path(name).name, None)
            if gone is not None and gone.is_named:
                self._deleted[Path(name).name] = gone
            if syncdir:
                self._sync_directory()

    def changed(self, name: str, change: _Change) -> None:
        """Record a write or a truncation. The power may fail directly after it."""
        with self._lock:
            self._files[name].changes.append(change)
            self._left -= 1
            if self._left == 0:
                self.cut_now()

    def synced(self, name: str) -> None:
        """Everything written to the file is durable from now on."""
        with self._lock:
            self.syncs += 1
            file = self._files.get(name)
            if file is not None:
                file.sync()
                if not file.is_named:
                    self._sync_directory()

    def cut_now(self) -> None:
        """Make the image, once."""
        if self.image is None:
            chance = random.Random(self._cut.seed)
            files = {**self._deleted, **self._files}
            kept = {
                name: _survivor(file, self._cut.fate, chance, may_vanish=name in self._deleted)
                for name, file in files.items()
            }
            self.image = {name: content for name, content in kept.items() if content is not None}
            self._on_cut()

    def _sync_directory(self) -> None:
        self._deleted.clear()
        for file in self._files.values():
            file.is_named = True


class _RecordedFile(apsw.VFSFile):
    def __init__(
        self, vfs: RecordingVfs, name: str, given: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        super().__init__(_BASE, given, flags)
        self._vfs, self._name = vfs, name

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._vfs.changed(self._name, (offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._vfs.changed(self._name, (size, None))

    def xSync(self, flags: int) -> None:
        # The machine does not lose power, so a real sync would only cost time.
        self._vfs.synced(self._name)


def _survivor(file: _File, fate: Fate, chance: random.Random, *, may_vanish: bool) -> bytes | None:
    """The file after the cut; None if it does not exist."""
    if may_vanish and chance.random() < 0.5:
        return None
    if not file.is_named and (fate == "dropped" or chance.random() < 0.5):
        return None
    content = bytearray(file.durable)
    for change in file.changes:
        for part in _parts(change, fate):
            if fate != "dropped" and chance.random() < 0.5:
                _apply(content, part)
    return bytes(content)


def _parts(change: _Change, fate: Fate) -> list[_Change]:
    offset, data = change
    if fate != "torn" or data is None:
        return [change]
    return [(offset + at, data[at : at + _PIECE]) for at in range(0, len(data), _PIECE)]


def _apply(content: bytearray, change: _Change) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data
