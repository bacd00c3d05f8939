"""Doing something once for each key, though the call for it comes at least once.

The trick is always the same: the key and the work are committed in one transaction.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS done (step TEXT, key TEXT, answer TEXT, PRIMARY KEY (step, key));
CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (step TEXT, key TEXT, count INTEGER, PRIMARY KEY (step, key));
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, size INTEGER NOT NULL);
"""


class Storage:
    """A SQLite database, and files beside it that only grow."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        # SQLite alone would keep writers apart too, but they would sleep and poll; a lock is a queue.
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            folder / "app.db", timeout=10, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database after the transaction that is running."""
        with self._lock:
            self._db.close()

    def once(self, step: str, key: str, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do the work unless this key was here before; the same answer either way.

        `work` gets the open transaction and returns JSON. Whoever comes with the same key meanwhile
        waits for it. When `work` raises or the process dies, nothing happened and the key is free.
        """
        with self._transaction() as db:
            is_new = db.execute(
                "INSERT OR IGNORE INTO done (step, key) VALUES (?, ?)", (step, key)
            ).rowcount
            if is_new:
                answer = json.dumps(work(db))
                db.execute("UPDATE done SET answer = ? WHERE step = ? AND key = ?", (answer, step, key))
            found = db.execute("SELECT answer FROM done WHERE step = ? AND key = ?", (step, key))
            return json.loads(found.fetchone()[0])

    def count_call(self, step: str, key: str) -> int:
        """How often this step was called with this key, this call included."""
        with self._transaction() as db:
            insert = "INSERT INTO calls VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1"
            db.execute(insert, (step, key))
            found = db.execute("SELECT count FROM calls WHERE step = ? AND key = ?", (step, key))
            return int(found.fetchone()[0])

    def append(self, db: sqlite3.Connection, name: str, record: bytes) -> None:
        """Append to a file as part of the transaction `db` (that of `once`).

        The database knows up to where the file is good. Bytes behind that were written by a process
        that died before it committed: they are cut off, and the step that wrote them is called again.
        The record is on the disk before the new size is, so a committed record cannot be missing.
        """
        found = db.execute("SELECT size FROM files WHERE name = ?", (name,)).fetchone()
        with (self.folder / name).open("ab") as file:
            good = min(found[0] if found else 0, file.tell())  # less when somebody emptied the file
            file.truncate(good)
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
        db.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (name, good + len(record)))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
