"""SQLite, and Debian's PostgreSQL and MariaDB, started for the tests on loopback.

The servers' data need not survive a crash, so they do not sync to disk.
"""

import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from scenarios.embedded_runtime import free_port


@dataclass(frozen=True)
class Database:
    """A database. `url` is for SQLAlchemy; `looking` opens a connection in autocommit mode."""

    name: str
    url: str
    looking: Any
    port: int = 0
    user: str = "atomic"
    host: str = "127.0.0.1"

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last statement, executed on a separate connection."""
        with closing(self.looking.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def sqlite(path: Path) -> Iterator[Database]:
    """A database in a file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as looking:
        yield Database(str(path), f"sqlite:///{path}", looking)


@contextmanager
def postgresql() -> Iterator[Database]:
    """A database server; skips the test if its programs are missing."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda found: int(found.parent.name))
    initdb, program = (_program(name, "postgresql", newest[-1:]) for name in ("initdb", "postgres"))
    port = free_port()
    url = f"postgresql+psycopg://atomic@127.0.0.1:{port}/postgres"

    def connect() -> Any:
        return psycopg.connect(
            host="127.0.0.1", port=port, user="atomic", dbname="postgres", autocommit=True
        )

    with _folder("postgres") as (folder, user):
        _run(user, initdb, "-D", folder / "data", "--no-sync", "-A", "trust", "-U", "atomic", "-E", "UTF8")
        server = [program, "-D", folder / "data", "-k", folder, "-p", port, "-F"]
        server += ["-c", "listen_addresses=127.0.0.1"]
        # After SIGTERM, the server would wait for all connections to close.
        with _served(server, folder, user, connect, signal.SIGINT) as looking:
            yield Database("postgres", url, looking, port)


@contextmanager
def mariadb() -> Iterator[Database]:
    """A database server; skips the test if its programs are missing."""
    install, program = (_program(name, "mariadb-server") for name in ("mariadb-install-db", "mariadbd"))
    port = free_port()
    url = f"mysql+pymysql://atomic@127.0.0.1:{port}/shop"

    def connect() -> Any:
        return pymysql.connect(host="127.0.0.1", port=port, user="atomic", database="shop", autocommit=True)

    with _folder("mysql") as (folder, user):
        data, setup = f"--datadir={folder / 'data'}", folder / "setup.sql"
        _run(user, install, "--no-defaults", "--auth-root-authentication-method=normal", data)
        setup.write_text("CREATE DATABASE shop;\nCREATE USER atomic;\nGRANT ALL ON *.* TO atomic;\n")
        server = [program, "--no-defaults", data, f"--port={port}", "--bind-address=127.0.0.1"]
        server += [f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", f"--init-file={setup}"]
        server += ["--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"]
        with _served(server, folder, user, connect, signal.SIGTERM) as looking:
            yield Database("shop", url, looking, port)


def _program(name: str, package: str, folders: list[Path] | None = None) -> str:
    usual = [*(folders or []), "/usr/sbin", "/usr/local/sbin", os.environ.get("PATH", os.defpath)]
    found = shutil.which(name, path=os.pathsep.join(map(str, usual)))
    if found is None:
        pytest.skip(f"{name} is not installed (Debian's package {package})")
    return found


@contextmanager
def _folder(owner: str) -> Iterator[tuple[Path, str | None]]:
    """A folder for a server, and the user that runs it, because PostgreSQL refuses to run as root."""
    # Not pytest's folder, which only the user of the tests can enter.
    folder = Path(tempfile.mkdtemp(prefix="atomic-"))
    user = owner if os.geteuid() == 0 else None
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        yield folder, user
    finally:
        shutil.rmtree(folder)


def _run(user: str | None, *command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command], user=user, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _served(
    command: list[Any], folder: Path, user: str | None, connect: Callable[[], Any], end: int
) -> Iterator[Any]:
    """Run a server and connect to it; send it the signal `end` at the end."""
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen([str(part) for part in command], stderr=output, user=user, cwd="/")
    try:
        with closing(_connected(server, log, connect)) as connection:
            yield connection
    finally:
        server.send_signal(end)
        server.wait(timeout=30)


def _connected(server: "subprocess.Popen[bytes]", log: Path, connect: Callable[[], Any]) -> Any:
    until = time.monotonic() + 60
    while True:
        try:
            return connect()
        except (psycopg.OperationalError, pymysql.OperationalError):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
