"""A workflow of two steps on FastAPI with default options: `async def`, and `def` under /plain."""

from fastapi import FastAPI

from atomic.sdk.fastapi import AsyncContext, Context, Endpoints

app = FastAPI()
orders, plain = Endpoints(app, "/orders"), Endpoints(app, "/plain")


@orders.workflow
async def order(ctx: AsyncContext, number: int) -> int:
    """Call both steps, each of which changes the number."""
    return await ctx.step(ship, await ctx.step(pay, number))


@orders.step
async def pay(number: int) -> int:
    """The first step."""
    return number * 10


@orders.step
async def ship(paid: int) -> int:
    """The second step."""
    return paid + 1


@plain.workflow(name="order")
def plain_order(ctx: Context, number: int) -> int:
    """Call both steps, each of which changes the number."""
    return ctx.step(plain_ship, ctx.step(plain_pay, number))


@plain.step(name="pay")
def plain_pay(number: int) -> int:
    """The first step."""
    return number * 10


@plain.step(name="ship")
def plain_ship(paid: int) -> int:
    """The second step."""
    return paid + 1
