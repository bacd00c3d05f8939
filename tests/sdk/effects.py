"""Effects on a user's table, for `idempotent`, and how to count them."""

from collections.abc import Callable
from typing import Any

from atomic.sdk.idempotency import TABLE
from sdk.calls import call_of
from sdk.connections import Opened
from sdk.databases import Database

CALL = call_of("https://app.example/mail")
INSERT = "INSERT INTO users VALUES ('ada')"


def make_empty(database: Database) -> None:
    """Create the table of keys and two user tables, all empty."""
    database.sql(
        TABLE,
        "CREATE TABLE IF NOT EXISTS users (name VARCHAR(20))",
        "CREATE TABLE IF NOT EXISTS other (a INT)",
        "DELETE FROM users",
        "DELETE FROM atomic_idempotency",
    )


class PowerCut(Exception):
    """The error by which an effect or its transaction fails."""


def users_in(database: Database) -> int:
    """The number of users that other connections see."""
    [(count,)] = database.sql("SELECT count(*) FROM users")
    return int(count)


def keys_in(database: Database) -> list[str]:
    """The stored answers."""
    return [answer for (answer,) in database.sql("SELECT answer FROM atomic_idempotency")]


def inserting(
    opened: Opened, answer: Any = "made", then: Callable[[], Any] | None = None
) -> Callable[[], Any]:
    """An effect that inserts a user."""

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
