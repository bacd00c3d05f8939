"""Effects that happen once for each step, in the step author's own SQL database.

A step may be called twice: its answer can be lost on the way. The key and the answer are written in the
same transaction as the effect, so all of it is there or nothing, and the second call finds the answer.
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

from atomic.sdk._context import Call
from atomic.sdk._values import jsonable

# One statement for PostgreSQL, MySQL, MariaDB and SQLite; a migration tool may run it as well. Only MySQL
# and MariaDB read what stands in /*! */. Their TEXT ends at 64 KiB; LONG VARCHAR is MEDIUMTEXT (16 MiB).
TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS atomic_idempotency ("
    "id VARCHAR(64) NOT NULL PRIMARY KEY, answer /*! LONG */ VARCHAR NOT NULL, "
    "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL) /*! ENGINE = InnoDB */"
)
# Always one row, so rows that cannot be read are found at the first call and not at the second one. MySQL
# and MariaDB tell by a second column whether the table takes part in transactions.
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
# How the styles of the DB-API mark a value: by the name, or by the number of its place.
_NAMED: Final = {"named": ":{}", "pyformat": "%({})s"}
_PLACED: Final = {"qmark": "?", "format": "%s", "numeric": ":{}"}
_NO_VALUES: Final[Mapping[str, str]] = {}


def idempotent(db: Any, call: Call, effect: Callable[[], Any], *, scope: str | None = None) -> Any:
    """Run an effect once for the step of this call, and remember its result; later calls get that result.

    - `db`: a SQLAlchemy Session or Connection, Django's `connection` inside `transaction.atomic()`, or a
      DB-API connection (sqlite3, psycopg, PyMySQL …). The caller commits.
    - `call`: the call that the step was given.
    - `effect`: a function without arguments that writes on `db` and returns a value with a JSON form.
    - `scope`: tells effects of one step apart (default: the path of the endpoint's URL).

    Returns the result of the first call, in its JSON form. The key, the result and the effect are written
    by one transaction. The table is made by `create_table`.

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
        # The claim comes before the effect, so that of two calls at once only one has an effect.
        _run(db, _CLAIM, {"id": name})
        answer = jsonable(effect())
        _run(db, _FILL, {"id": name, "answer": json.dumps(answer, allow_nan=False)})
    return answer


def create_table(db: Any) -> None:
    """Make the table of `idempotent`, when it is not there.

    - `db`: a connection, as `idempotent` takes it.

    Raises ValueError for what is no connection.
    """
    _refuse_others(db)
    _run(db, TABLE)


def name_of(call: Call, scope: str | None) -> str:
    """What stands for one effect of one step: 64 hex digits, so no collation or length makes two into one.

    The key alone is not enough: callers may choose the same one for steps of several URLs or workflows. The
    id of a step is the same in all attempts; a root's does not depend on its URL, so the path counts, too.
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
            "an effect of this step has begun and has no answer: it calls idempotent for itself, or its "
            "beginning was committed too early. See what is there; then delete the row of "
            f"atomic_idempotency whose id is {name}, or write the answer into it (JSON)"
        )
    return rows[0][0] if rows else None


def _refuse_others(db: Any) -> None:
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


def _run(db: Any, statement: str, values: Mapping[str, str] = _NO_VALUES) -> list[tuple[Any, ...]]:
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


def _flush(db: Any) -> None:
    """Have a SQLAlchemy session write what it holds back; with `autoflush=False` no statement does that."""
    if not hasattr(db, "cursor") and hasattr(db, "flush"):
        db.flush()


def _driver_connection(db: Any) -> Any:
    """The driver's own connection below SQLAlchemy and Django, or what behaves like it."""
    if not hasattr(db, "cursor"):
        # A Session has a method of that name, which gives its Connection; that one's is what the pool lent.
        db = db.connection().connection if callable(db.connection) else db.connection
    return getattr(db, "driver_connection", None) or getattr(db, "connection", db)


@contextmanager
def _one_transaction(db: Any, savepoint: str) -> Iterator[None]:
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
            _flush(db)
            _run(db, f"ROLLBACK TO SAVEPOINT {savepoint}")
        raise
    try:
        _run(db, f"RELEASE SAVEPOINT {savepoint}")
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
    driver = _driver_connection(db)
    if hasattr(driver, "isolation_level") and isinstance(getattr(driver, "in_transaction", None), bool):
        _begin_sqlite(db, driver)
        _run(db, f"SAVEPOINT {savepoint}")
        return
    try:
        _run(db, f"SAVEPOINT {savepoint}")
        # Without a transaction PostgreSQL refuses a savepoint, and MySQL has forgotten it by now. SQLite
        # begins a transaction for it; one that was not recognised above is refused, for it knows no WORK.
        _run(db, f"ROLLBACK WORK TO SAVEPOINT {savepoint}")
    except Exception as error:
        raise ValueError(f"{_REFUSED} ({error})") from error


def _begin_sqlite(db: Any, driver: Any) -> None:
    if driver.in_transaction:
        return
    if driver.isolation_level is None or getattr(driver, "autocommit", None) is True:
        raise ValueError(_REFUSED)
    # As sqlite3 does before the first INSERT. A savepoint that begins a transaction commits when released.
    _run(db, f"BEGIN {driver.isolation_level}")
