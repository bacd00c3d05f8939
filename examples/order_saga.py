"""An order as a saga, on Flask: when a step fails, the steps before it are undone in reverse order.

Run each line in a terminal of its own:

    pip install 'atomic-workflows[server]' flask
    atomic serve --dev
    flask --app order_saga run --port 9000
    atomic start order http://127.0.0.1:9000/orders/place --key 1 --payload '{"item": "cup", "cents": 9}'
    atomic start order http://127.0.0.1:9000/orders/place --key 2 --payload '{"item": "whale", "cents": 5}'
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from flask import Flask

from atomic import NonRetryable, StepFailedError, idempotent
from atomic.sdk.flask import Call, Context, Endpoints
from atomic.sdk.idempotency import create_table

DATABASE = "orders.db"
with closing(sqlite3.connect(DATABASE)) as setup:
    create_table(setup)
    setup.execute("CREATE TABLE IF NOT EXISTS book (entry TEXT, item TEXT, cents INTEGER)")

app = Flask(__name__)
orders = Endpoints(app, "/orders")


@dataclass
class Order:
    """One item and its price."""

    item: str
    cents: int


@orders.workflow
def place(ctx: Context, order: Order) -> Any:
    """Run the steps in order. When one has failed, the saga undoes all of them in reverse order."""
    try:
        with ctx.saga() as saga:
            saga.step(reserve, order, undo=release, retry=3)
            saga.step(charge, order, undo=refund, retry=3)
            saga.step(ship, order, undo=recall, retry=3)
    except StepFailedError as failed:
        return {"placed": False, "because": failed.reason}
    return {"placed": True}


def book(call: Call, order: Order, entry: str) -> Any:
    """Write an entry into the book, once for each key."""
    return in_book(call, lambda db: write(db, order, entry))


def unbook(call: Call, order: Order, entry: str, undone: str) -> Any:
    """Note that an entry is undone, if it exists: the step may have failed before its effect."""
    find = "SELECT 1 FROM book WHERE entry = ? AND item = ?"
    return in_book(
        call, lambda db: db.execute(find, (entry, order.item)).fetchone() and write(db, order, undone)
    )


def in_book(call: Call, effect: Callable[[sqlite3.Connection], Any]) -> Any:
    """Change the book and store the key in one transaction."""
    with closing(sqlite3.connect(DATABASE)) as db, db:  # `with db` commits, or rolls back after an error
        return idempotent(db, call, lambda: effect(db))


def write(db: sqlite3.Connection, order: Order, entry: str) -> str:
    """Write one line of the book."""
    db.execute("INSERT INTO book VALUES (?, ?, ?)", (entry, order.item, order.cents))
    return entry


@orders.step
def reserve(order: Order, call: Call) -> Any:
    return book(call, order, "reserved")


@orders.step
def release(order: Order, call: Call) -> Any:
    return unbook(call, order, "reserved", "released")


@orders.step
def charge(order: Order, call: Call) -> Any:
    if call.attempt == 1:
        raise ConnectionError("the bank did not answer")  # retried like every other error
    return book(call, order, "charged")


@orders.step
def refund(order: Order, call: Call) -> Any:
    return unbook(call, order, "charged", "refunded")


@orders.step
def ship(order: Order, call: Call) -> Any:
    if order.item == "whale":
        raise NonRetryable("a whale does not fit into a parcel")
    return book(call, order, "shipped")


@orders.step
def recall(order: Order, call: Call) -> Any:
    return unbook(call, order, "shipped", "recalled")
