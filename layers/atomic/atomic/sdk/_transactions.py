"""A block of statements that is in one transaction of the database, or is refused.

The database is asked, not the connection: drivers, pools and frameworks tell by attributes, by methods or
not at all whether a transaction is open. A savepoint cannot outlive its transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from atomic.sdk._statements import driver_connection, flush, run

_REFUSED: Final = "idempotent needs a transaction: turn autocommit off, or begin one before the call"


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
