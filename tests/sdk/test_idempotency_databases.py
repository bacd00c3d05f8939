"""`idempotent` on real databases, through every kind of supported connection."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from atomic import Call, idempotent
from atomic.sdk.idempotency import TABLE, create_table
from sdk.connections import SORTS, Sort
from sdk.databases import Database
from sdk.effects import CALL, INSERT, PowerCut, failing, inserting, keys_in, users_in

by_name = {sort.name: sort for sort in SORTS}
of_every_sort = pytest.mark.parametrize("sort", SORTS, ids=[sort.name for sort in SORTS])
PLAIN = ("sqlite3", "psycopg", "PyMySQL")
of_every_database = pytest.mark.parametrize("sort", [by_name[name] for name in PLAIN], ids=PLAIN)


def call_twice(sort: Sort, database: Database, call: Call = CALL) -> list[Any]:
    """The answers of two calls, each on a connection of its own."""
    answers = []
    for number in (1, 2):
        with sort.opened(database) as opened, opened.transaction():
            answers.append(idempotent(opened.db, call, inserting(opened, answer={"call": number})))
    return answers


@of_every_sort
def test_the_second_call_gets_the_first_answer(sort: Sort, database: Database) -> None:
    assert call_twice(sort, database) == [{"call": 1}] * 2
    assert users_in(database) == 1


@of_every_database
def test_what_is_in_the_same_transaction_is_found_too(sort: Sort, database: Database) -> None:
    with sort.opened(database) as opened, opened.transaction():
        create_table(opened.db)
        for _ in range(2):
            assert idempotent(opened.db, CALL, inserting(opened)) == "made"
    assert users_in(database) == 1


@of_every_sort
def test_a_failure_leaves_nothing_and_the_next_attempt_has_the_effect(
    sort: Sort, database: Database
) -> None:
    with sort.opened(database) as opened:
        with pytest.raises(PowerCut), opened.transaction():
            idempotent(opened.db, CALL, failing(opened))
        assert (users_in(database), keys_in(database)) == (0, [])
        with opened.transaction():
            assert idempotent(opened.db, CALL, inserting(opened)) == "made"
    assert (users_in(database), keys_in(database)) == (1, ['"made"'])


@of_every_sort
def test_a_swallowed_failure_leaves_nothing_after_a_commit(sort: Sort, database: Database) -> None:
    with sort.opened(database) as opened, opened.transaction():
        with suppress(PowerCut):
            idempotent(opened.db, CALL, failing(opened))
        opened.execute("INSERT INTO users VALUES ('told')")
    assert database.sql("SELECT name FROM users") == [("told",)]
    assert keys_in(database) == []


@of_every_sort
def test_a_connection_in_autocommit_mode_is_refused(sort: Sort, database: Database) -> None:
    refused = pytest.raises(ValueError, match="begin one before the call")
    with sort.opened(database, autocommit=True) as opened, refused:
        idempotent(opened.db, CALL, failing(opened))
    assert (users_in(database), keys_in(database)) == (0, [])


BEGUN = {
    "sqlite3": "BEGIN",
    "sqlite3-OpenTelemetry": "BEGIN",
    "psycopg": "BEGIN",
    "psycopg2": "BEGIN",
    "PyMySQL": "START TRANSACTION",
    "PyMySQL-OpenTelemetry": "START TRANSACTION",
    "mysql.connector": "START TRANSACTION",
}


@pytest.mark.parametrize("sort", [by_name[name] for name in BEGUN], ids=list(BEGUN))
def test_a_transaction_that_was_begun_explicitly_is_one(sort: Sort, database: Database) -> None:
    with sort.opened(database, autocommit=True) as opened:
        opened.execute(BEGUN[sort.name])
        with pytest.raises(PowerCut):
            idempotent(opened.db, CALL, failing(opened))
        opened.execute("ROLLBACK")
        assert (users_in(database), keys_in(database)) == (0, [])
        opened.execute(BEGUN[sort.name])
        assert idempotent(opened.db, CALL, inserting(opened)) == "made"
        opened.execute("COMMIT")
    assert (users_in(database), keys_in(database)) == (1, ['"made"'])


@pytest.mark.parametrize("sort", [by_name["psycopg"]])
def test_a_transaction_of_psycopg_is_one(sort: Sort, database: Database) -> None:
    with sort.opened(database, autocommit=True) as opened:
        for _ in range(2):
            with opened.db.transaction():
                assert idempotent(opened.db, CALL, inserting(opened)) == "made"
    assert users_in(database) == 1


@of_every_sort
def test_an_effect_that_commits_is_refused_and_never_taken_for_done(sort: Sort, database: Database) -> None:
    refused = pytest.raises(ValueError, match="ended its transaction")
    with sort.opened(database) as opened, refused, opened.transaction():
        idempotent(opened.db, CALL, inserting(opened, then=lambda: opened.end("commit")))
    # After that, some connections commit each statement by themselves, including the stored answer.
    with sort.opened(database) as opened, suppress(RuntimeError), opened.transaction():
        assert idempotent(opened.db, CALL, inserting(opened, answer="again")) == "made"
    assert users_in(database) == 1


@of_every_database
def test_an_effect_with_an_unknown_end_is_not_retried(sort: Sort, database: Database) -> None:
    with sort.opened(database) as opened:
        with pytest.raises(PowerCut), opened.transaction():
            idempotent(opened.db, CALL, lambda: [opened.end("commit"), failing(opened)()])
        assert (users_in(database), keys_in(database)) == (0, [""])
        with pytest.raises(RuntimeError, match="delete the row"), opened.transaction():
            idempotent(opened.db, CALL, inserting(opened))
        database.sql("DELETE FROM atomic_idempotency")
        with opened.transaction():
            assert idempotent(opened.db, CALL, inserting(opened)) == "made"
    assert users_in(database) == 1


@of_every_sort
def test_an_effect_that_rolls_back_is_refused_and_may_be_tried_again(
    sort: Sort, database: Database
) -> None:
    refused = pytest.raises(ValueError, match="ended its transaction")
    with sort.opened(database) as opened, refused, opened.transaction():
        idempotent(opened.db, CALL, inserting(opened, then=lambda: opened.end("rollback")))
    assert (users_in(database), keys_in(database)) == (0, [])
    assert call_twice(sort, database) == [{"call": 1}] * 2


@of_every_database
def test_effects_can_be_nested(sort: Sort, database: Database) -> None:
    with sort.opened(database) as opened, opened.transaction():

        def outer() -> list[Any]:
            return [idempotent(opened.db, CALL, inserting(opened), scope=name) for name in ("a", "b")]

        assert idempotent(opened.db, CALL, outer) == ["made", "made"]
        with pytest.raises(RuntimeError, match="for itself"):
            idempotent(opened.db, CALL, lambda: idempotent(opened.db, CALL, outer, scope="c"), scope="c")
    assert (users_in(database), len(keys_in(database))) == (2, 3)


ALIKE = [
    replace(CALL, idempotency_key=key)
    for key in ("order-aBc", "order-Abc", "order-abc", "K", "k", "k ", "straße", "strasse", "é", "e\u0301")
]
ALIKE += [replace(CALL, url=f"https://app.example{path}") for path in ("/Mail", "/mail/", "/mail%20")]
ALIKE += [replace(CALL, step_id=f"run_1-{step}") for step in ("a", "A")]
ALIKE += [replace(CALL, url=f"https://app.example/{'long' * 1000}{end}") for end in "ab"]


@of_every_database
def test_keys_that_look_alike_are_not_one(sort: Sort, database: Database) -> None:
    for number, call in enumerate(ALIKE):
        with sort.opened(database) as opened, opened.transaction():
            assert idempotent(opened.db, call, inserting(opened, answer=number)) == number
    assert users_in(database) == len(ALIKE)


ANSWERS = {
    "long": "x" * 300_000,
    "outside of ASCII": "é€😀" * 50_000,
    "marks": "100 % of :id, %s, %(id)s, ? and 'quotes' \\ \" \x00 \n",
    "null": None,
    "false": False,
    "empty": "",
    "large": 2**64 - 1,
}


@of_every_database
def test_an_answer_comes_back_as_it_was(sort: Sort, database: Database) -> None:
    for scope, answer in ANSWERS.items():
        with sort.opened(database) as opened:
            for _ in range(2):
                with opened.transaction():
                    assert idempotent(opened.db, CALL, inserting(opened, answer), scope=scope) == answer
    assert users_in(database) == len(ANSWERS)


on_mariadb = pytest.mark.parametrize("sort", [by_name["PyMySQL"]])


@on_mariadb
@pytest.mark.parametrize("ddl", ["CREATE OR REPLACE TABLE other (a INT)", "TRUNCATE TABLE users"])
def test_a_statement_that_commits_by_itself_is_refused(sort: Sort, database: Database, ddl: str) -> None:
    refused = pytest.raises(ValueError, match="CREATE TABLE")
    with sort.opened(database) as opened, refused, opened.transaction():
        idempotent(opened.db, CALL, inserting(opened, then=lambda: opened.execute(ddl)))
    refused = pytest.raises(RuntimeError, match="committed too early")
    with sort.opened(database) as opened, refused, opened.transaction():
        idempotent(opened.db, CALL, inserting(opened))


@pytest.mark.parametrize("sort", [by_name[name] for name in ("PyMySQL", "mysql.connector-raw")])
def test_a_table_without_transactions_is_refused(sort: Sort, database: Database) -> None:
    for engine in ("MyISAM", "Aria"):
        database.sql("DROP TABLE atomic_idempotency", TABLE.replace("InnoDB", engine))
        refused = pytest.raises(ValueError, match="ENGINE = InnoDB")
        with sort.opened(database) as opened, refused, opened.transaction():
            idempotent(opened.db, CALL, inserting(opened))
    database.sql("DROP TABLE atomic_idempotency")
    assert users_in(database) == 0


class Base(DeclarativeBase):
    """The base of the classes below."""


class User(Base):
    """A row of `users` as an object."""

    __tablename__ = "users"
    name: Mapped[str] = mapped_column(primary_key=True)


SESSIONS = [sort for sort in SORTS if sort.name.startswith("Session")]


@pytest.mark.parametrize("sort", SESSIONS, ids=[sort.name for sort in SESSIONS])
def test_objects_that_a_session_writes_at_the_end_are_part_of_the_effect(
    sort: Sort, database: Database
) -> None:
    with sort.opened(database) as opened:

        def added() -> str:
            user = User(name="ada")
            opened.db.add(user)
            return user.name

        with suppress(PowerCut), opened.transaction():
            assert idempotent(opened.db, CALL, added) == "ada"
            raise PowerCut
        assert (users_in(database), keys_in(database)) == (0, [])
        for _ in range(2):
            with opened.transaction():
                assert idempotent(opened.db, CALL, added) == "ada"
    assert (users_in(database), keys_in(database)) == (1, ['"ada"'])


async def as_inner(url: str, effect: Callable[[Any], Any]) -> Any:
    """Run blocking session code as an AsyncSession does."""
    engine = create_async_engine(url)
    try:
        async with AsyncSession(engine) as session, session.begin():
            with pytest.raises(ValueError, match="run_sync"):
                idempotent(session, CALL, lambda: 1)
            return await session.run_sync(lambda inner: idempotent(inner, CALL, lambda: effect(inner)))
    finally:
        await engine.dispose()


@pytest.mark.parametrize("sort", [by_name["Session-postgresql"]])
def test_the_session_inside_an_async_session(sort: Sort, database: Database) -> None:
    for _ in range(2):
        assert asyncio.run(as_inner(database.url, lambda inner: inner.execute(text(INSERT)).rowcount)) == 1
    assert users_in(database) == 1


@pytest.mark.parametrize("sort", [by_name["psycopg"]])
def test_connections_that_must_be_awaited_are_refused(sort: Sort, database: Database) -> None:
    async def attempt() -> None:
        where = {"host": database.host, "port": database.port, "user": database.user}
        async with await psycopg.AsyncConnection.connect(**where, dbname=database.name) as db:
            idempotent(db, CALL, lambda: 1)

    with pytest.raises(ValueError, match="connections that block"):
        asyncio.run(attempt())
