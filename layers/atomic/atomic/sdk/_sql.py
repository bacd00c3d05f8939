"""SQL on whatever connection a step author has: one statement, or a block in one transaction.

Connections are those of SQLAlchemy, Django, a driver of the DB-API or a wrapper. Whether a transaction is
open the database is asked, not the connection: drivers, pools and frameworks tell by attributes, by methods
or not at all. A savepoint cannot outlive its transaction.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from inspect import iscoroutinefunction
from itertools import chain
from typing import Any, Final

_REFUSED: Final = "idempotent needs a transaction: turn autocommit off, or begin one before the call"
# How the styles of the DB-API mark a value: by the name, or by the number of its place.
_NAMED: Final = {"named": ":{}", "pyformat": "%({})s"}
_PLACED: Final = {"qmark": "?", "format": "%s", "numeric": ":{}"}
_NO_VALUES: Final[Mapping[str, str]] = {}


def refuse_others(db: Any) -> None:
    """Raise ValueError for what is no connection, and for one whose methods must be awaited."""
    is_cursor = hasattr(db, "fetchone")
    if is_cursor or not (hasattr(db, "cursor") or hasattr(db, "execute")):
        raise ValueError(
            "idempotent takes a connection of the database's driver, Django's, or SQLAlchemy's Session or "
            f"Connection (`with engine.begin() as connection`), not a {type(db).__qualname__}"
        )
    if any(iscoroutinefunction(getattr(db, name, None)) for name in ("commit", "execute")):
        raise ValueError(
            "idempotent takes connections that block. SQLAlchemy's AsyncSession has one inside: "
            "`await session.run_sync(lambda inner: idempotent(inner, call, effect))`"
        )


def run(db: Any, statement: str, values: Mapping[str, str] = _NO_VALUES) -> list[tuple[Any, ...]]:
    """Execute it with the values for its `:name` marks; the rows, whatever form the connection gives them.

    Raises ValueError when nothing tells how the driver marks values; what the driver raises otherwise.
    """
    if not hasattr(db, "cursor"):
        # A session of SQLAlchemy's, so SQLAlchemy is installed.
        from sqlalchemy import text

        result = db.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []
    with closing(db.cursor()) as cursor:
        _make_rows_plain(cursor)
        cursor.execute(*_as_driver_wants(cursor, statement, values))
        rows = cursor.fetchall() if cursor.description else []
    return [tuple(row.values() if isinstance(row, Mapping) else row) for row in rows]


def flush(db: Any) -> None:
    """Have a SQLAlchemy session write what it holds back; with `autoflush=False` no statement does that."""
    if not hasattr(db, "cursor") and hasattr(db, "flush"):
        db.flush()


def driver_connection(db: Any) -> Any:
    """The driver's own connection below SQLAlchemy and Django, or what behaves like it."""
    if not hasattr(db, "cursor"):
        # A Session has a method of that name, which gives its Connection; that one's is what the pool lent.
        db = db.connection().connection if callable(db.connection) else db.connection
    return getattr(db, "driver_connection", None) or getattr(db, "connection", db)


@contextmanager
def one_transaction(db: Any, savepoint: str) -> Iterator[None]:
    """Let the block happen in the transaction that is open, or that the driver begins by itself.

    `savepoint` is a name for SQL that no block inside has. A block that raises leaves nothing, even if the
    caller commits. Raises ValueError before the block when each statement is a transaction of its own, and
    after it when the block has ended the transaction that it began in.
    """
    _begin(db, savepoint)
    try:
        yield
    except Exception:
        # Where this fails the transaction is lost already, and the block with it.
        with suppress(Exception):
            # What a session has not written yet it would write with the commit.
            flush(db)
            run(db, f"ROLLBACK TO SAVEPOINT {savepoint}")
        raise
    try:
        run(db, f"RELEASE SAVEPOINT {savepoint}")
    except Exception as error:
        raise ValueError(
            "the effect ended the transaction that it began in, so its key and what it wrote are not one. "
            "Leave commit and rollback to the caller of idempotent; in MySQL and MariaDB, CREATE TABLE and "
            f"other changes of the schema commit by themselves ({error})"
        ) from error


def _make_rows_plain(cursor: Any) -> None:
    """Undo a factory of rows that was set for the whole connection; its models may not fit these rows."""
    if hasattr(cursor, "row_factory"):
        psycopg = sys.modules.get("psycopg")
        is_psycopg = psycopg and isinstance(cursor, psycopg.Cursor)
        cursor.row_factory = psycopg.rows.tuple_row if psycopg and is_psycopg else None


def _as_driver_wants(cursor: Any, statement: str, values: Mapping[str, str]) -> tuple[Any, ...]:
    if not values:
        return (statement,)
    style = _style_of(cursor)
    if style in _NAMED:
        for name in values:
            statement = statement.replace(f":{name}", _NAMED[style].format(name))
        return statement, values
    # The others go by place, so the values are put in the order of their marks.
    order = sorted(values, key=lambda name: statement.index(f":{name}"))
    for number, name in enumerate(order, 1):
        statement = statement.replace(f":{name}", _PLACED[style].format(number))
    return statement, [values[name] for name in order]


def _style_of(cursor: Any) -> str:
    """The `paramstyle` of the driver, which a package above the class of the cursor or connection has."""
    for module in chain.from_iterable(_packages(kind) for kind in _classes(cursor)):
        # Django's cursors are no DB-API cursors but behave like them, with `%s` over every database.
        style = "format" if module == "django" else getattr(sys.modules.get(module), "paramstyle", None)
        if style in _NAMED or style in _PLACED:
            return str(style)
    raise ValueError(
        f"nothing tells how {type(cursor).__module__}.{type(cursor).__qualname__} marks values: no module "
        "above its class has a `paramstyle`. Give idempotent the driver's own connection, or SQLAlchemy's"
    )


def _classes(cursor: Any) -> Iterator[type]:
    yield from type(cursor).__mro__
    # A proxy says that it has the class of what it wraps.
    yield from cursor.__class__.__mro__
    # An extension of the DB-API, of which some drivers warn when it is used.
    yield from type(getattr(cursor, "connection", None)).__mro__


def _packages(kind: type) -> Iterator[str]:
    """The module of a class and those it is in, as `a.b`, `a`."""
    parts = kind.__module__.split(".")
    return (".".join(parts[:end]) for end in range(len(parts), 0, -1))


def _begin(db: Any, savepoint: str) -> None:
    driver = driver_connection(db)
    if hasattr(driver, "isolation_level") and isinstance(getattr(driver, "in_transaction", None), bool):
        _begin_sqlite(db, driver)
        run(db, f"SAVEPOINT {savepoint}")
        return
    try:
        run(db, f"SAVEPOINT {savepoint}")
        # Without a transaction PostgreSQL refuses a savepoint, and MySQL has forgotten it by now. SQLite
        # begins a transaction for it; one that was not recognised above is refused, for it knows no WORK.
        run(db, f"ROLLBACK WORK TO SAVEPOINT {savepoint}")
    except Exception as error:
        raise ValueError(f"{_REFUSED} ({error})") from error


def _begin_sqlite(db: Any, driver: Any) -> None:
    if driver.in_transaction:
        return
    if driver.isolation_level is None or getattr(driver, "autocommit", None) is True:
        raise ValueError(_REFUSED)
    # As sqlite3 does before the first INSERT. A savepoint that begins a transaction commits when released.
    run(db, f"BEGIN {driver.isolation_level}")
