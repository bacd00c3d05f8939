"""`idempotent` in two concurrent transactions, at every isolation level of every database."""

import sqlite3
import threading
from contextlib import suppress
from typing import Any

import psycopg
import pymysql
import pytest

from atomic import idempotent
from sdk.connections import SORTS, Sort
from sdk.databases import Database
from sdk.effects import CALL, PowerCut, inserting, keys_in, users_in

by_name = {sort.name: sort for sort in SORTS}
LEVELS = {
    "sqlite3": [""],
    "psycopg": ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"],
    "PyMySQL": ["READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"],
}
SET_LEVEL = {
    "psycopg": "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {}",
    "PyMySQL": "SET SESSION TRANSACTION ISOLATION LEVEL {}",
}
of_every_level = pytest.mark.parametrize(
    ("sort", "level"),
    [(by_name[name], level) for name, levels in LEVELS.items() for level in levels],
    ids=[f"{name} {level}" for name, levels in LEVELS.items() for level in levels],
)
ERRORS = (sqlite3.DatabaseError, psycopg.DatabaseError, pymysql.DatabaseError)


class Late(threading.Thread):
    """A second call, on a connection of its own, that begins before the first has committed.

    Afterwards `got` is an answer, or an error of the driver.
    """

    def __init__(self, sort: Sort, level: str, database: Database, begun: threading.Event) -> None:
        super().__init__()
        self.got: Any = "nothing"
        self._where = sort, level, database, begun

    def run(self) -> None:
        """Read the database first, because some isolation levels take their snapshot then."""
        sort, level, database, begun = self._where
        with sort.opened(database) as opened:
            if level:
                opened.execute(SET_LEVEL[sort.name].format(level))
                opened.db.commit()
            try:
                with opened.transaction():
                    opened.execute("SELECT count(*) FROM other")
                    begun.set()
                    self.got = idempotent(opened.db, CALL, inserting(opened, answer="late"))
            except ERRORS as error:
                self.got = error


@of_every_level
@pytest.mark.parametrize("first_commits", [True, False])
def test_of_two_calls_at_once_one_has_an_effect(
    sort: Sort, level: str, database: Database, first_commits: bool
) -> None:
    begun = threading.Event()
    late = Late(sort, level, database, begun)
    with sort.opened(database) as opened, suppress(PowerCut), opened.transaction():
        assert idempotent(opened.db, CALL, inserting(opened, answer="first")) == "first"
        late.start()
        assert begun.wait(10)
        late.join(0.3)
        assert late.is_alive()  # it waits for the first call
        if not first_commits:
            raise PowerCut
    late.join(30)
    if isinstance(late.got, ERRORS):
        assert keys_in(database) == (['"first"'] if first_commits else [])
    else:
        assert late.got == ("first" if first_commits else "late")
    final = "first" if first_commits or isinstance(late.got, ERRORS) else "late"
    with sort.opened(database) as opened, opened.transaction():
        assert idempotent(opened.db, CALL, inserting(opened, answer=final)) == final
    assert users_in(database) == 1
