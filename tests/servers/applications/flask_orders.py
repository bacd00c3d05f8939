"""A workflow of two steps on Flask, with every option left out."""

from flask import Flask

from atomic.sdk.flask import Context, Endpoints

app = Flask("orders")
orders = Endpoints(app, "/orders")


@orders.workflow
def order(ctx: Context, number: int) -> int:
    """The number, changed by both steps."""
    return ctx.step(ship, ctx.step(pay, number))


@orders.step
def pay(number: int) -> int:
    """The first step."""
    return number * 10


@orders.step
def ship(paid: int) -> int:
    """The second step."""
    return paid + 1
