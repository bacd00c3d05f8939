"""A subscription: renewed for ever, cancelled by a signal, and a failed payment is tried again for days.

Run each line in a terminal of its own. services.py is beside this file; it prints what it is told:

    pip install 'atomic-workflows[server,async]' fastapi uvicorn requests aiosmtpd
    atomic serve --dev
    python services.py
    uvicorn subscription:app --port 9000
    curl -X POST http://127.0.0.1:9000/subscriptions/ada
    curl -X DELETE http://127.0.0.1:9000/subscriptions/ada
"""

import os
from datetime import timedelta

import requests
from fastapi import FastAPI, Request
from pydantic import BaseModel

from atomic import AsyncClient
from atomic.sdk.fastapi import AsyncContext, Call, Endpoints

SERVICES = os.environ.get("COLLECTOR_URL", "http://127.0.0.1:8026")
PERIOD = timedelta(days=30)
PAUSES = [timedelta(days=days) for days in (1, 3, 5)]  # after a payment that failed

app = FastAPI()
subscriptions = Endpoints(app, "/workflows")
http = requests.Session()


class Subscription(BaseModel):
    """One period of a subscription. Each has a run of its own."""

    customer: str
    period: int = 1


@app.post("/subscriptions/{customer}")
async def subscribe(customer: str, request: Request) -> str:
    """Start the first period. To subscribe twice changes nothing; who comes back needs another key."""
    first, url = Subscription(customer=customer), str(request.url_for("workflows/renew"))
    async with AsyncClient() as atomic:
        return (await atomic.start("subscription", url, first, key=f"{customer}/1", timeout=0)).status


@app.delete("/subscriptions/{customer}")
async def unsubscribe(customer: str) -> str:
    """Tell the newest run, which is that of the present period. While a new one begins, try again."""
    async with AsyncClient() as atomic:
        [run] = await atomic.runs(workflow_name="subscription", key_prefix=f"{customer}/", limit=1)
        return (await atomic.signal("subscription", run.idempotency_key, "cancel")).was


@subscriptions.workflow
async def renew(ctx: AsyncContext, now: Subscription) -> str:
    """Go on as the run of the next period, so that no run has a long history."""
    end, is_paid = await ctx.race({"cancelled": ctx.event("cancel"), "over": period(ctx, now)})
    if end == "over" and is_paid:
        following = Subscription(customer=now.customer, period=now.period + 1)
        return await ctx.continue_as(following, key=f"{now.customer}/{following.period}")
    await ctx.step(close, now)
    return "cancelled" if end == "cancelled" else "unpaid"


async def period(ctx: AsyncContext, now: Subscription) -> bool:
    """Take the money, and let the period go by. Each try has a key of its own, so the bank looks again."""
    for pause in PAUSES:
        if await ctx.step(charge, now):
            await ctx.sleep(PERIOD)
            return True
        await ctx.step(warn, now)
        await ctx.sleep(pause)
    return False


def tell(call: Call, event: str, now: Subscription) -> bool:
    """Whether a service has done it. A repeated call has the same step id, so it is done once."""
    document, key = {"event": event, **now.model_dump()}, {"Idempotency-Key": call.step_id}
    answer = http.post(SERVICES, json=document, headers=key, timeout=10)
    if answer.status_code != 402:  # it is declined: an answer, and no error to repeat
        answer.raise_for_status()
    return answer.ok


@subscriptions.step
def charge(now: Subscription, call: Call) -> bool:
    return tell(call, "charge", now)


@subscriptions.step
def warn(now: Subscription, call: Call) -> bool:
    return tell(call, "warn", now)


@subscriptions.step
def close(now: Subscription, call: Call) -> bool:
    return tell(call, "close", now)  # this also pays back a charge that came too late
