"""An effect on a user's table, for `idempotent`, and what is left of it."""

from collections.abc import Callable
from typing import Any

from atomic.sdk.idempotency import TABLE
from sdk.calls import call_of
from sdk.connections import Opened
from sdk.databases import Database

CALL = call_of("https://app.example/mail")
INSERT = "INSERT INTO users VALUES ('ada')"


def make_empty(database: Database) -> None:
    """Let there be the table of keys and two of a user's, with nothing in them."""
    database.sql(
        TABLE,
        "CREATE TABLE IF NOT EXISTS users (name VARCHAR(20))",
        "CREATE TABLE IF NOT EXISTS other (a INT)",
        "DELETE FROM users",
        "DELETE FROM atomic_idempotency",
    )


class PowerCut(Exception):
    """How an effect or its transaction fails here."""


def users_in(database: Database) -> int:
    """How many there are for everybody else."""
    [(count,)] = database.sql("SELECT count(*) FROM users")
    return int(count)


def keys_in(database: Database) -> list[str]:
    """The answers that are stored."""
    return [answer for (answer,) in database.sql("SELECT answer FROM atomic_idempotency")]


def inserting(
    opened: Opened, answer: Any = "made", then: Callable[[], Any] | None = None
) -> Callable[[], Any]:
    """An effect."""

    def effect() -> Any:
        opened.execute(INSERT)
        if then:
            then()
        return answer

    return effect


def failing(opened: Opened) -> Callable[[], None]:
    """An effect that fails after its first half."""

    def effect() -> None:
        opened.execute(INSERT)
        raise PowerCut

    return effect
