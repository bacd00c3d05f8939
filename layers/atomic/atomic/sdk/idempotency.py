"""Effects that happen once for each step, in the step author's own SQL database.

A step may be called twice, because its answer can be lost. One transaction writes the key, the answer and
the effect, so either all or none of them exist, and a second call finds the answer.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from inspect import iscoroutinefunction
from itertools import chain
from typing import Any, Final
from urllib.parse import urlsplit

from atomic.sdk._calls.call import Call
from atomic.sdk._wire.values import jsonable

# One statement for PostgreSQL, MySQL, MariaDB and SQLite; a migration tool may run it as well. Only MySQL
# and MariaDB read the text in /*! */. Their TEXT ends at 64 KiB; LONG VARCHAR is MEDIUMTEXT (16 MiB).
TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS atomic_idempotency ("
    "id VARCHAR(64) NOT NULL PRIMARY KEY, answer /*! LONG */ VARCHAR NOT NULL, "
    "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL) /*! ENGINE = InnoDB */"
)
# Always gives one row, so a connection whose rows cannot be read is refused at the first call, not at the
# second. In MySQL and MariaDB, a second column says whether the table takes part in transactions.
_FIND: Final = (
    "SELECT (SELECT answer FROM atomic_idempotency WHERE id = :id) AS answer /*! , "
    "(SELECT transactions FROM information_schema.tables JOIN information_schema.engines USING (engine) "
    "WHERE table_schema = DATABASE() AND table_name = 'atomic_idempotency') AS transactional */"
)
# READ UNCOMMITTED shows answers that may yet be rolled back; in MySQL and MariaDB this waits for the end.
_MAKE_SURE: Final = "SELECT answer FROM atomic_idempotency WHERE id = :id /*! LOCK IN SHARE MODE */"
_CLAIM: Final = "INSERT INTO atomic_idempotency (id, answer) VALUES (:id, '')"
_FILL: Final = "UPDATE atomic_idempotency SET answer = :answer WHERE id = :id"
_REFUSED: Final = "idempotent needs a transaction: turn autocommit off, or begin one before the call"
# The marks for a value in the styles of the DB-API: by its name or by its position.
_NAMED: Final = {"named": ":{}", "pyformat": "%({})s"}
_PLACED: Final = {"qmark": "?", "format": "%s", "numeric": ":{}"}
_NO_VALUES: Final[Mapping[str, str]] = {}


def idempotent(db: Any, call: Call, effect: Callable[[], Any], *, scope: str | None = None) -> Any:
    """Run an effect once for the step of this call, and remember its result; later calls get that result.

    - `db`: a SQLAlchemy Session or Connection, Django's `connection` inside `transaction.atomic()`, or a
      DB-API connection (sqlite3, psycopg, PyMySQL …). The caller commits.
    - `call`: the call that the step got.
    - `effect`: a function without arguments that writes on `db` and returns a value with a JSON form.
    - `scope`: tells effects of one step apart (default: the path of the endpoint's URL).

    Returns the result of the first call, in its JSON form. One transaction writes the key, the result and
    the effect. `create_table` makes the table.

    Raises ValueError when the connection commits each statement by itself, when `effect` commits or rolls
    back, and when the result has no JSON form; RuntimeError when an earlier call committed before its
    effect was done; the driver's IntegrityError when another call of this step commits first: answer with
    an error, and the next attempt finds its result.
    """
    _refuse_others(db)
    name = name_of(call, scope)
    found = _find(db, name)
    if found is not None:
        return json.loads(found)
    with _one_transaction(db, f"atomic_{name[:16]}"):
        # The claim comes before the effect, so that only one of two concurrent calls has an effect.
        _run(db, _CLAIM, {"id": name})
        answer = jsonable(effect())
        _run(db, _FILL, {"id": name, "answer": json.dumps(answer, allow_nan=False)})
    return answer


def create_table(db: Any) -> None:
    """Make the table of `idempotent`, unless it exists.

    - `db`: a connection, as `idempotent` takes it.

    Raises ValueError when `db` is not a connection.
    """
    _refuse_others(db)
    _run(db, TABLE)


def name_of(call: Call, scope: str | None) -> str:
    """The name of one effect of one step. It has 64 hex digits, so that no collation merges two names.

    The idempotency key alone is not enough: callers may use the same key for several URLs or workflows. The
    id of a step is the same in all attempts. A root's id does not depend on its URL, so the path is added.
    """
    parts = [scope or urlsplit(call.url).path, call.step_id, call.idempotency_key]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _find(db: Any, name: str) -> str | bytes | None:
    [(answer, *transactional)] = _run(db, _FIND, {"id": name})
    if transactional in (["NO"], [b"NO"]):
        raise ValueError(
            "the table has an engine without transactions: ALTER TABLE atomic_idempotency ENGINE = InnoDB"
        )
    if answer is None:
        return None
    rows = _run(db, _MAKE_SURE, {"id": name})
    if rows and not rows[0][0]:
        raise RuntimeError(
            "an effect of this step has begun and has no answer: it calls idempotent again inside, or its "
            "beginning was committed too early. Check what was written. Then delete the row of "
            f"atomic_idempotency whose id is {name}, or write the answer into it (JSON)"
        )
    return rows[0][0] if rows else None


def _refuse_others(db: Any) -> None:
    """Raise ValueError when this is not a connection, or when its methods must be awaited."""
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


def _run(db: Any, statement: str, values: Mapping[str, str] = _NO_VALUES) -> list[tuple[Any, ...]]:
    """Execute the statement with values for its `:name` marks; the rows, in the connection's form.

    Raises ValueError when it is unknown how the driver marks values, and the driver's own errors.
    """
    if not hasattr(db, "cursor"):
        # It is from SQLAlchemy, so SQLAlchemy is installed.
        from sqlalchemy import text

        result = db.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []
    with closing(db.cursor()) as cursor:
        _make_rows_plain(cursor)
        cursor.execute(*_as_driver_wants(cursor, statement, values))
        rows = cursor.fetchall() if cursor.description else []
    return [tuple(row.values() if isinstance(row, Mapping) else row) for row in rows]


def _flush(db: Any) -> None:
    """Flush a SQLAlchemy session: with `autoflush=False`, no statement does so."""
    if not hasattr(db, "cursor") and hasattr(db, "flush"):
        db.flush()


def _driver_connection(db: Any) -> Any:
    """The driver's connection inside SQLAlchemy's or Django's, or a proxy that behaves like it."""
    if not hasattr(db, "cursor"):
        # A Session's method `connection` gives its Connection, whose `connection` is that of the pool.
        db = db.connection().connection if callable(db.connection) else db.connection
    return getattr(db, "driver_connection", None) or getattr(db, "connection", db)


@contextmanager
def _one_transaction(db: Any, savepoint: str) -> Iterator[None]:
    """Run the block in the open transaction, or in the one that the driver begins by itself.

    `savepoint` is a name for SQL that no inner block uses. A block that raises leaves no changes, even if
    the caller commits. Raises ValueError before the block when each statement commits by itself, and after
    it when the block has ended the transaction.
    """
    _begin(db, savepoint)
    try:
        yield
    except Exception:
        # If this fails, the transaction is lost already, with all changes of the block.
        with suppress(Exception):
            # Otherwise the session would write its pending changes at the commit.
            _flush(db)
            _run(db, f"ROLLBACK TO SAVEPOINT {savepoint}")
        raise
    try:
        _run(db, f"RELEASE SAVEPOINT {savepoint}")
    except Exception as error:
        raise ValueError(
            "the effect ended its transaction, so its key and its writes are in different transactions. "
            "Leave commit and rollback to the caller of idempotent; in MySQL and MariaDB, CREATE TABLE and "
            f"other changes of the schema commit by themselves ({error})"
        ) from error


def _make_rows_plain(cursor: Any) -> None:
    """Remove the row factory of the whole connection, which may not fit the rows of this module."""
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
    # The other styles go by position, so the values get the order of their marks.
    order = sorted(values, key=lambda name: statement.index(f":{name}"))
    for number, name in enumerate(order, 1):
        statement = statement.replace(f":{name}", _PLACED[style].format(number))
    return statement, [values[name] for name in order]


def _style_of(cursor: Any) -> str:
    """The driver's `paramstyle`, from a package that contains the class of the cursor or connection."""
    for module in chain.from_iterable(_packages(kind) for kind in _classes(cursor)):
        # Django's cursors are not DB-API cursors, but behave like them, with `%s` for every database.
        style = "format" if module == "django" else getattr(sys.modules.get(module), "paramstyle", None)
        if style in _NAMED or style in _PLACED:
            return str(style)
    raise ValueError(
        f"it is unknown how {type(cursor).__module__}.{type(cursor).__qualname__} marks values: no module "
        "above its class has a `paramstyle`. Pass the driver's own connection, or SQLAlchemy's"
    )


def _classes(cursor: Any) -> Iterator[type]:
    yield from type(cursor).__mro__
    # `__class__` of a proxy is the class of the wrapped object.
    yield from cursor.__class__.__mro__
    # An optional extension of the DB-API; some drivers warn when it is used.
    yield from type(getattr(cursor, "connection", None)).__mro__


def _packages(kind: type) -> Iterator[str]:
    """The module of a class and its parent packages, such as `a.b`, `a`."""
    parts = kind.__module__.split(".")
    return (".".join(parts[:end]) for end in range(len(parts), 0, -1))


def _begin(db: Any, savepoint: str) -> None:
    driver = _driver_connection(db)
    if hasattr(driver, "isolation_level") and isinstance(getattr(driver, "in_transaction", None), bool):
        _begin_sqlite(db, driver)
        _run(db, f"SAVEPOINT {savepoint}")
        return
    try:
        _run(db, f"SAVEPOINT {savepoint}")
        # Without a transaction, PostgreSQL refuses a savepoint, and MySQL has dropped it by now. SQLite
        # would begin a transaction for it; if it was not recognised above, it fails at the word WORK.
        _run(db, f"ROLLBACK WORK TO SAVEPOINT {savepoint}")
    except Exception as error:
        raise ValueError(f"{_REFUSED} ({error})") from error


def _begin_sqlite(db: Any, driver: Any) -> None:
    if driver.in_transaction:
        return
    if driver.isolation_level is None or getattr(driver, "autocommit", None) is True:
        raise ValueError(_REFUSED)
    # sqlite3 does so before the first INSERT. A savepoint that begins a transaction commits when released.
    _run(db, f"BEGIN {driver.isolation_level}")
