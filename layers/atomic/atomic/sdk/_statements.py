"""A SQL statement on whatever connection a step author has: of SQLAlchemy, Django, a driver, a wrapper."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from inspect import iscoroutinefunction
from itertools import chain
from typing import Any, Final

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
        # SQLAlchemy, which is there when somebody has such a session.
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
