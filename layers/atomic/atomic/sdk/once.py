"""Effects that happen once for each key, in the step author's own SQL database.

A step may be called twice: its answer can be lost on the way. The key and the answer are written in the
same transaction as the effect, so all of it is there or nothing, and the second call finds the answer.
"""

import json
import sys
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from atomic.sdk._context import Call
from atomic.sdk._documents import jsonable

# Portable SQL: the table may as well be made by a migration tool. A year of keys is a few bytes each.
TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS atomic_idempotency ("
    "scope VARCHAR(255) NOT NULL, idempotency_key VARCHAR(255) NOT NULL, answer TEXT NOT NULL, "
    "PRIMARY KEY (scope, idempotency_key))"
)
_FIND: Final = "SELECT answer FROM atomic_idempotency WHERE scope = :scope AND idempotency_key = :key"
_CLAIM: Final = (
    "INSERT INTO atomic_idempotency (scope, idempotency_key, answer) VALUES (:scope, :key, :answer)"
)
_FILL: Final = (
    "UPDATE atomic_idempotency SET answer = :answer WHERE scope = :scope AND idempotency_key = :key"
)
_PENDING: Final = "null"


def idempotent(db: Any, call: Call, effect: Callable[[], Any], *, scope: str | None = None) -> Any:
    """Run `effect` once for the key of this call and remember its answer; later calls get that answer.

    `db` is a SQLAlchemy Session or Connection, Django's `connection` inside `transaction.atomic()`, or a
    DB-API connection (sqlite3, psycopg, PyMySQL …), on which `effect` writes too; the caller commits.
    `scope` tells steps apart that share a key; by default it is the path of the endpoint. The answer must
    have a JSON form, and comes back in it.
    Raises ValueError when the connection commits each statement by itself; the driver's IntegrityError when
    another call with this key commits first (answer with an error, the next attempt finds its answer).
    """
    _refuse_autocommit(db)
    names = {"scope": scope_of(call, scope), "key": call.idempotency_key}
    found = _run(db, _FIND, names).fetchone()
    if found is not None:
        return json.loads(found[0])
    # The claim comes before the effect, so that of two calls at once only one has an effect.
    _run(db, _CLAIM, {**names, "answer": _PENDING})
    answer = jsonable(effect())
    _run(db, _FILL, {**names, "answer": json.dumps(answer, allow_nan=False)})
    return answer


def create_table(db: Any) -> None:
    """Make the table when it is not there."""
    _run(db, TABLE, {})


def scope_of(call: Call, scope: str | None) -> str:
    """What tells steps apart that share a key: the path of the endpoint unless somebody says more."""
    return scope or urlsplit(call.url).path


def _refuse_autocommit(db: Any) -> None:
    autocommits = getattr(db, "autocommit", False) is True
    if not autocommits and hasattr(db, "isolation_level") and hasattr(db, "in_transaction"):
        # sqlite3: without an isolation level nothing begins a transaction but an explicit BEGIN.
        autocommits = db.isolation_level is None and db.in_transaction is False
    if autocommits:
        raise ValueError(
            "idempotent needs a transaction: turn autocommit off, or begin one before the call"
        )


def _run(db: Any, statement: str, values: dict[str, str]) -> Any:
    if not hasattr(db, "cursor"):
        # SQLAlchemy, which is there when somebody has such a session.
        from sqlalchemy import text

        return db.execute(text(statement), values)
    cursor = db.cursor()
    sql, arguments = _as_driver_wants(db, statement, values)
    cursor.execute(sql, arguments)
    return cursor


def _as_driver_wants(db: Any, statement: str, values: dict[str, str]) -> tuple[str, Any]:
    driver = sys.modules[type(db).__module__.partition(".")[0]]
    # Django's connection is no DB-API connection but behaves like one, with `%s` over every database.
    style = "format" if driver.__name__ == "django" else driver.paramstyle
    if style in {"named", "pyformat"}:
        mark = ":{}" if style == "named" else "%({})s"
        for name in values:
            statement = statement.replace(f":{name}", mark.format(name))
        return statement, values
    # The others go by position, so the values are put in the order of their marks.
    order = sorted(values, key=lambda name: statement.index(f":{name}"))
    for number, name in enumerate(order, 1):
        mark = {"qmark": "?", "format": "%s", "numeric": f":{number}"}[style]
        statement = statement.replace(f":{name}", mark)
    return statement, [values[name] for name in order]
