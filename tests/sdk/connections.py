"""Every kind of connection that `idempotent` supports, opened on a real database."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import django
import mysql.connector
import psycopg
import psycopg2
import psycopg2.extras
import pymysql
from django.conf import settings
from django.db import connections, transaction
from opentelemetry.instrumentation.dbapi import instrument_connection
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from sdk.databases import Database


@dataclass(frozen=True)
class Opened:
    """A connection: `idempotent` gets `db`; `execute` runs a statement.

    `transaction` commits at its end, or rolls back and raises. `end` commits or rolls back within it.
    """

    db: Any
    execute: Callable[[str], Any]
    transaction: Callable[[], AbstractContextManager[Any]]
    end: Callable[[str], Any]


@dataclass(frozen=True)
class Sort:
    """A kind of connection. `opened` can also open one in autocommit mode."""

    name: str
    database: str
    open: Callable[[Database, bool], AbstractContextManager[Opened]]

    def opened(self, database: Database, *, autocommit: bool = False) -> AbstractContextManager[Opened]:
        """Open a connection; close it at the end."""
        return self.open(database, autocommit)


def _committing(db: Any, execute: Callable[[str], Any]) -> Opened:
    @contextmanager
    def committed() -> Iterator[None]:
        try:
            yield
        except BaseException:
            db.rollback()
            raise
        db.commit()

    return Opened(db, execute, committed, lambda how: getattr(db, how)())


def _of_driver(connect: Callable[[Database, bool], Any]) -> Any:
    @contextmanager
    def opened(database: Database, autocommit: bool) -> Iterator[Opened]:
        with closing(connect(database, autocommit)) as db:

            def execute(statement: str) -> None:
                with closing(db.cursor()) as cursor:
                    cursor.execute(statement)

            yield _committing(db, execute)

    return opened


def _sqlite3(**options: Any) -> Callable[[Database, bool], Any]:
    def connect(database: Database, autocommit: bool) -> Any:
        level = {"isolation_level": None} if autocommit else {}
        return sqlite3.connect(database.name, timeout=10, **{**options, **level})

    return connect


def _sqlite3_rows(row_factory: Any) -> Callable[[Database, bool], Any]:
    def connect(database: Database, autocommit: bool) -> Any:
        db = _sqlite3()(database, autocommit)
        db.row_factory = row_factory
        return db

    return connect


def _psycopg(**options: Any) -> Callable[[Database, bool], Any]:
    return lambda at, autocommit: psycopg.connect(
        host=at.host, port=at.port, user=at.user, dbname=at.name, autocommit=autocommit, **options
    )


def _psycopg2(**options: Any) -> Callable[[Database, bool], Any]:
    def connect(at: Database, autocommit: bool) -> Any:
        db = psycopg2.connect(host=at.host, port=at.port, user=at.user, dbname=at.name, **options)
        db.autocommit = autocommit
        return db

    return connect


def _pymysql(**options: Any) -> Callable[[Database, bool], Any]:
    return lambda at, autocommit: pymysql.connect(
        host=at.host, port=at.port, user=at.user, database=at.name, autocommit=autocommit, **options
    )


def _mysql_connector(**options: Any) -> Callable[[Database, bool], Any]:
    return lambda at, autocommit: mysql.connector.connect(
        host=at.host, port=at.port, user=at.user, database=at.name, autocommit=autocommit, **options
    )


def _traced(connect: Callable[[Database, bool], Any]) -> Callable[[Database, bool], Any]:
    """Traced by OpenTelemetry's integration for DB-API drivers; psycopg has an integration of its own."""
    return lambda at, autocommit: instrument_connection("tests", connect(at, autocommit), "sql")


def _traced_psycopg(database: Database, autocommit: bool) -> Any:
    return PsycopgInstrumentor().instrument_connection(_psycopg()(database, autocommit))


def _of_sqlalchemy(wrapped: Callable[[Any], Any]) -> Any:
    @contextmanager
    def opened(database: Database, autocommit: bool) -> Iterator[Opened]:
        level: Any = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
        engine = create_engine(database.url, poolclass=NullPool, **level)
        with closing(wrapped(engine)) as db:
            yield _committing(db, lambda statement: db.execute(text(statement)))

    return opened


def _sqlalchemy_raw(database: Database, autocommit: bool) -> Any:
    level: Any = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    return create_engine(database.url, poolclass=NullPool, **level).raw_connection()


def _of_django(engine: str) -> Any:
    @contextmanager
    def opened(at: Database, autocommit: bool) -> Iterator[Opened]:
        if not settings.configured:
            settings.configure()
            django.setup()
        if engine == "mysql":
            pymysql.install_as_MySQLdb()
        given = {"ENGINE": f"django.db.backends.{engine}", "NAME": at.name, "USER": at.user}
        database = connections.configure_settings(
            {"default": {}, "atomic": {**given, "HOST": at.host, "PORT": at.port}}
        )["atomic"]
        backend = __import__(f"{given['ENGINE']}.base", fromlist=["DatabaseWrapper"])
        db = connections["atomic"] = backend.DatabaseWrapper(database, "atomic")

        def execute(statement: str) -> None:
            with db.cursor() as cursor:
                cursor.execute(statement)

        try:
            begun = nullcontext if autocommit else partial(transaction.atomic, "atomic")
            # Django itself forbids this inside a transaction.
            yield Opened(db, execute, begun, execute)
        finally:
            db.close()
            del connections["atomic"]

    return opened


class Mine(sqlite3.Connection):
    """A user's own connection class, whose module has no `paramstyle`."""


class Opaque:
    """A user's own wrapper of connections and cursors, which does not show what it wraps."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def cursor(self) -> "Opaque":
        """Wrapped as well."""
        return Opaque(self._wrapped.cursor())


@dataclass
class Row:
    """A custom row type that psycopg can be told to return."""

    users: int


def _as_dict(cursor: Any, row: Any) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


SORTS = [
    *(
        Sort(name, "sqlite", _of_driver(connect))
        for name, connect in {
            "sqlite3": _sqlite3(),
            "sqlite3-immediate": _sqlite3(isolation_level="IMMEDIATE"),
            "sqlite3-Row": _sqlite3_rows(sqlite3.Row),
            "sqlite3-dicts": _sqlite3_rows(_as_dict),
            "sqlite3-subclass": _sqlite3(factory=Mine),
            "sqlite3-wrapped": lambda at, autocommit: Opaque(_sqlite3()(at, autocommit)),
            "sqlite3-OpenTelemetry": _traced(_sqlite3()),
            "sqlite3-raw_connection": _sqlalchemy_raw,
        }.items()
    ),
    *(
        Sort(name, "postgresql", _of_driver(connect))
        for name, connect in {
            "psycopg": _psycopg(),
            "psycopg-dict_row": _psycopg(row_factory=psycopg.rows.dict_row),
            "psycopg-class_row": _psycopg(row_factory=psycopg.rows.class_row(Row)),
            "psycopg-client": _psycopg(cursor_factory=psycopg.ClientCursor),
            "psycopg-OpenTelemetry": _traced_psycopg,
            "psycopg-raw_connection": _sqlalchemy_raw,
            "psycopg2": _psycopg2(),
            "psycopg2-dicts": _psycopg2(cursor_factory=psycopg2.extras.RealDictCursor),
        }.items()
    ),
    *(
        Sort(name, "mariadb", _of_driver(connect))
        for name, connect in {
            "PyMySQL": _pymysql(),
            "PyMySQL-DictCursor": _pymysql(cursorclass=pymysql.cursors.DictCursor),
            "PyMySQL-SSCursor": _pymysql(cursorclass=pymysql.cursors.SSCursor),
            "PyMySQL-OpenTelemetry": _traced(_pymysql()),
            "PyMySQL-wrapped": lambda at, autocommit: Opaque(_pymysql()(at, autocommit)),
            "PyMySQL-raw_connection": _sqlalchemy_raw,
            "mysql.connector": _mysql_connector(),
            "mysql.connector-pure": _mysql_connector(use_pure=True),
            "mysql.connector-OpenTelemetry": _traced(_mysql_connector()),
            "mysql.connector-raw": _mysql_connector(raw=True),
        }.items()
    ),
    *(
        Sort(f"{name}-{database}", database, _of_sqlalchemy(wrapped))
        for name, wrapped in {"Connection": Engine.connect, "Session": Session}.items()
        for database in ("sqlite", "postgresql", "mariadb")
    ),
    Sort("scoped_session", "sqlite", _of_sqlalchemy(lambda engine: scoped_session(sessionmaker(engine)))),
    Sort("Django-sqlite", "sqlite", _of_django("sqlite3")),
    Sort("Django-postgresql", "postgresql", _of_django("postgresql")),
    Sort("Django-mariadb", "mariadb", _of_django("mysql")),
]
