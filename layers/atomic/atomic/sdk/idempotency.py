"""Effects that happen once for each step, in the step author's own SQL database.

A step may be called twice: its answer can be lost on the way. The key and the answer are written in the
same transaction as the effect, so all of it is there or nothing, and the second call finds the answer.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from atomic.sdk._context import Call
from atomic.sdk._sql import one_transaction, refuse_others, run
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
    refuse_others(db)
    name = name_of(call, scope)
    found = _find(db, name)
    if found is not None:
        return json.loads(found)
    with one_transaction(db, f"atomic_{name[:16]}"):
        # The claim comes before the effect, so that of two calls at once only one has an effect.
        run(db, _CLAIM, {"id": name})
        answer = jsonable(effect())
        run(db, _FILL, {"id": name, "answer": json.dumps(answer, allow_nan=False)})
    return answer


def create_table(db: Any) -> None:
    """Make the table of `idempotent`, when it is not there.

    - `db`: a connection, as `idempotent` takes it.

    Raises ValueError for what is no connection.
    """
    refuse_others(db)
    run(db, TABLE)


def name_of(call: Call, scope: str | None) -> str:
    """What stands for one effect of one step: 64 hex digits, so no collation or length makes two into one.

    The key alone is not enough: callers may choose the same one for steps of several URLs or workflows. The
    id of a step is the same in all attempts; a root's does not depend on its URL, so the path counts, too.
    """
    parts = [scope or urlsplit(call.url).path, call.step_id, call.idempotency_key]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _find(db: Any, name: str) -> str | bytes | None:
    [(answer, *transactional)] = run(db, _FIND, {"id": name})
    if transactional in (["NO"], [b"NO"]):
        raise ValueError(
            "the table has an engine without transactions: ALTER TABLE atomic_idempotency ENGINE = InnoDB"
        )
    if answer is None:
        return None
    rows = run(db, _MAKE_SURE, {"id": name})
    if rows and not rows[0][0]:
        raise RuntimeError(
            "an effect of this step has begun and has no answer: it calls idempotent for itself, or its "
            "beginning was committed too early. See what is there; then delete the row of "
            f"atomic_idempotency whose id is {name}, or write the answer into it (JSON)"
        )
    return rows[0][0] if rows else None
