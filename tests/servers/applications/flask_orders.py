"""A workflow of two steps on Flask, with all options at their defaults."""

from flask import Flask

from atomic.sdk.flask import Context, Endpoints

app = Flask("orders")
orders = Endpoints(app, "/orders")


@orders.workflow
def order(ctx: Context, number: int) -> int:
    """Call both steps, each of which changes the number."""
    return ctx.step(ship, ctx.step(pay, number))


@orders.step
def pay(number: int) -> int:
    """The first step."""
    return number * 10


@orders.step
def ship(paid: int) -> int:
    """The second step."""
    return paid + 1
