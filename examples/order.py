"""An order: a manager approves it and is reminded, a bank calls back when it is paid, and errors undo it.

Run each line in a terminal of its own. services.py is beside this file; it prints what it is told, and with
the charge the URL that the bank would call:

    pip install 'atomic-workflows[server,async]' fastapi uvicorn requests aiosmtpd
    atomic serve --dev
    python services.py
    uvicorn order:app --port 9000
    atomic start order http://127.0.0.1:9000/orders/place --key 1 --payload '{"item": "cup"}' --timeout 0
    atomic events send order 1 approval true
    curl -X POST THE_CALLBACK_URL --json '{"paid": 900}'
    atomic start order http://127.0.0.1:9000/orders/place --key 1 --payload '{"item": "cup"}'
"""

import os
from datetime import timedelta

import requests
from fastapi import FastAPI
from pydantic import BaseModel

from atomic import StepFailedError
from atomic.sdk.fastapi import AsyncContext, Call, Endpoints

SERVICES = os.environ.get("COLLECTOR_URL", "http://127.0.0.1:8026")

app = FastAPI()
orders = Endpoints(app, "/orders")
http = requests.Session()
http.hooks["response"] = [lambda answer, **_: answer.raise_for_status()]  # so that errors are retried


class Order(BaseModel):
    """What is ordered; `callback_url` is where the bank says that it is paid."""

    item: str
    callback_url: str = ""


@orders.workflow
async def place(ctx: AsyncContext, order: Order) -> str:
    """Ask the manager, take the money, ship. If anything fails, undo what was done before."""
    approval = ctx.event("approval", result=bool)
    _, is_approved = await ctx.race({"approval": approval, "reminders": remind(ctx, order)})
    if not is_approved:
        return "not approved"
    try:
        async with ctx.saga() as saga:
            await saga.step(reserve, order, undo=release)
            await ctx.callback(
                "payment",
                submit=lambda url: saga.step(charge, Order(item=order.item, callback_url=url), undo=refund),
                deadline=timedelta(hours=1),
            )
            await ctx.step(ship, order, retry=3)
    except StepFailedError as error:
        return f"undone: {error.reason}"
    return "shipped"


async def remind(ctx: AsyncContext, order: Order) -> None:
    """Ask the manager three times, and stop after nine days. The answer ends this at any time."""
    for _ in range(3):
        await ctx.step(ask_manager, order)
        await ctx.sleep(timedelta(days=3))


def tell(call: Call, event: str, order: Order) -> None:
    """A repeated call has the same step id, so that the service does what it is told once."""
    key = {"Idempotency-Key": call.step_id}
    http.post(SERVICES, json={"event": event, **order.model_dump()}, headers=key, timeout=10)


@orders.step
def ask_manager(order: Order, call: Call) -> None:
    tell(call, "ask", order)


@orders.step
def reserve(order: Order, call: Call) -> None:
    tell(call, "reserve", order)


@orders.step
def release(order: Order, call: Call) -> None:
    tell(call, "release", order)


@orders.step
def charge(order: Order, call: Call) -> None:
    tell(call, "charge", order)


@orders.step
def refund(order: Order, call: Call) -> None:
    tell(call, "refund", order)  # the bank may have got no charge


@orders.step
def ship(order: Order, call: Call) -> None:
    tell(call, "ship", order)
