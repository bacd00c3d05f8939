"""`idempotent` writes an effect and its key together or not at all."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from atomic import SerializationError, idempotent
from atomic.sdk.idempotency import _as_driver_wants, create_table
from sdk.calls import call_of

CALL = call_of("https://app.example/mail?x=1")
USERS = "CREATE TABLE users (name TEXT)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute(USERS)
        create_table(db)
        create_table(db)
    db.close()
    return path


def insert_with(db: Any) -> Callable[[], dict[str, int]]:
    def insert() -> dict[str, int]:
        db.execute("INSERT INTO users VALUES ('ada')")
        return {"rows": db.execute("SELECT count(*) FROM users").fetchone()[0]}

    return insert


def rows_in(path: Path) -> int:
    db = sqlite3.connect(path)
    count: int = db.execute("SELECT count(*) FROM users").fetchone()[0]
    db.close()
    return count


def test_the_second_call_gets_the_first_answer(path: Path) -> None:
    for _ in range(2):
        with sqlite3.connect(path) as db:
            assert idempotent(db, CALL, insert_with(db)) == {"rows": 1}
        db.close()
    assert rows_in(path) == 1


def test_other_keys_endpoints_and_steps_are_other_effects(path: Path) -> None:
    with sqlite3.connect(path) as db:
        for call in (
            CALL,
            replace(CALL, idempotency_key="k#2"),
            replace(CALL, url="https://app.example/b"),
            replace(CALL, step_id="run_1-another"),
        ):
            idempotent(db, call, insert_with(db))
        idempotent(db, CALL, insert_with(db), scope="mine")
    db.close()
    assert rows_in(path) == 5


def test_a_crash_leaves_nothing_behind(path: Path) -> None:
    def crash() -> None:
        db.execute("INSERT INTO users VALUES ('ada')")
        raise RuntimeError("power cut")

    db = sqlite3.connect(path)
    with pytest.raises(RuntimeError), db:
        idempotent(db, CALL, crash)
    assert rows_in(path) == 0
    with db:
        assert idempotent(db, CALL, insert_with(db)) == {"rows": 1}
    db.close()


def test_two_at_once_have_one_effect(path: Path) -> None:
    def call() -> None:
        db = sqlite3.connect(path, timeout=10)
        try:
            with db:
                idempotent(db, CALL, insert_with(db))
        except sqlite3.IntegrityError:
            pass
        finally:
            db.close()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows_in(path) == 1


def test_a_connection_that_commits_by_itself_is_refused(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(ValueError, match="transaction"):
        idempotent(db, CALL, insert_with(db))
    db.execute("BEGIN")
    assert idempotent(db, CALL, insert_with(db)) == {"rows": 1}
    db.execute("COMMIT")
    db.close()
    assert rows_in(path) == 1


def test_a_transaction_begins_as_the_connection_wants_it(path: Path) -> None:
    statements: list[str] = []
    with closing(sqlite3.connect(path, isolation_level="IMMEDIATE")) as db, db:
        db.set_trace_callback(statements.append)
        idempotent(db, CALL, insert_with(db))
    assert [statement for statement in statements if "BEGIN" in statement] == ["BEGIN IMMEDIATE"]


def test_sqlalchemy_sessions(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    for _ in range(2):
        with Session(engine) as session, session.begin():
            idempotent(
                session, CALL, lambda: session.execute(text("INSERT INTO users VALUES ('ada')")).rowcount
            )
    with engine.begin() as connection:
        assert idempotent(connection, CALL, lambda: 7) == 1
    engine.dispose()
    assert rows_in(path) == 1


class _Base(DeclarativeBase):
    pass


class _User(_Base):
    __tablename__ = "users"
    name: Mapped[str] = mapped_column(primary_key=True)


@pytest.mark.parametrize("autoflush", [True, False])
def test_what_a_session_holds_back_goes_with_the_effect_that_failed(path: Path, autoflush: bool) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with Session(engine, autoflush=autoflush) as session, session.begin():

        def effect() -> object:
            session.add(_User(name="ada"))
            return object()

        with pytest.raises(SerializationError):
            idempotent(session, CALL, effect)
    engine.dispose()
    assert rows_in(path) == 0


def test_what_is_no_connection_is_refused(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as db:
        for other in (engine, sessionmaker(engine), db.cursor(), None):
            with pytest.raises(ValueError, match="idempotent takes a connection"):
                idempotent(other, CALL, lambda: 1)
    with pytest.raises(ValueError, match=r"engine\.begin"):
        create_table(engine)
    engine.dispose()


def test_every_parameter_style_of_the_db_api(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"key": "2", "scope": "1"}
    expected: dict[str, tuple[str, Any]] = {
        "qmark": ("a = ? AND b = ?", ["1", "2"]),
        "format": ("a = %s AND b = %s", ["1", "2"]),
        "numeric": ("a = :1 AND b = :2", ["1", "2"]),
        "named": ("a = :scope AND b = :key", values),
        "pyformat": ("a = %(scope)s AND b = %(key)s", values),
    }
    with closing(sqlite3.connect(":memory:")) as db:
        for style, wanted in expected.items():
            monkeypatch.setattr(sqlite3, "paramstyle", style)
            assert _as_driver_wants(db.cursor(), "a = :scope AND b = :key", values) == wanted


def test_a_driver_that_does_not_tell_its_parameter_style_is_refused() -> None:
    class Cursor:
        def execute(self, *statement: Any) -> None:
            """Never called."""

        def close(self) -> None:
            """There is nothing to close."""

    class Connection:
        cursor = Cursor

    with pytest.raises(ValueError, match=r"test_idempotency\..*Cursor marks values.*SQLAlchemy's"):
        idempotent(Connection(), CALL, lambda: 1)


class Python312(sqlite3.Connection):
    """A connection like `sqlite3.connect(…, autocommit=True)` of Python 3.12, for older versions."""

    autocommit = True
    isolation_level = ""


def test_an_autocommit_of_python_3_12_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, factory=Python312)) as db:
        with pytest.raises(ValueError, match="turn autocommit off"):
            idempotent(db, CALL, insert_with(db))
        db.execute("BEGIN")
        assert idempotent(db, CALL, insert_with(db)) == {"rows": 1}
        db.execute("COMMIT")
    assert rows_in(path) == 1


class Unrecognised:
    """A wrapper that hides that a connection is SQLite's."""

    def __init__(self, wrapped: sqlite3.Connection) -> None:
        self.wrapped = wrapped

    def cursor(self) -> sqlite3.Cursor:
        return self.wrapped.cursor(UnrecognisedCursor)


class UnrecognisedCursor(sqlite3.Cursor):
    """The cursor of that wrapper."""

    connection = None


def test_a_sqlite_that_is_not_recognised_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        with pytest.raises(ValueError, match="needs a transaction"):
            idempotent(Unrecognised(db), CALL, insert_with(db))
        db.rollback()
    assert rows_in(path) == 0


def test_a_row_has_its_creation_time(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        idempotent(db, CALL, insert_with(db))
        idempotent(db, replace(CALL, step_id="old"), insert_with(db))
        db.execute("UPDATE atomic_idempotency SET created_at = '2020-01-01' WHERE rowid = 2")
        old = db.execute("DELETE FROM atomic_idempotency WHERE created_at < '2025-01-01'")
        assert old.rowcount == 1
