"""The application under test by the SDK on FastAPI: the user-creation workflow, in two shapes.

`/endpoints` calls each step as an endpoint of its own; `/values` runs its steps in the handler (`ctx.run`).

Usage: python benchmarks/sdk_application.py PORT

The settings of the SDK are in the environment: ATOMIC_URL, ATOMIC_API_KEY and so on.
It is served by uvicorn, with the loop and the parser of `uvicorn[standard]`.
"""

import asyncio
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

from atomic.sdk.fastapi import AsyncContext, Endpoints

Payload = dict[str, Any]

app = FastAPI()
apart, inside = Endpoints(app, "/endpoints"), Endpoints(app, "/values")


async def done() -> Payload:
    """The effect of a step: none."""
    return {"ok": True}


@apart.step(name="createUser")
async def create_user(_payload: Payload) -> Payload:
    return await done()


@apart.step(name="sendEmail")
async def send_email(_payload: Payload) -> Payload:
    return await done()


@apart.step(name="sendAnalytics")
async def send_analytics(_payload: Payload) -> Payload:
    return await done()


@apart.step
async def link(_payload: Payload) -> Payload:
    return await done()


@apart.workflow(name="index")
async def index_apart(ctx: AsyncContext, payload: Payload) -> Payload:
    await ctx.step(create_user, payload)
    await asyncio.gather(ctx.step(send_email, payload), ctx.step(send_analytics, payload))
    return {"ok": True}


@apart.workflow(name="chain")
async def chain_apart(ctx: AsyncContext, payload: Payload) -> Payload:
    for _ in range(payload["steps"]):
        await ctx.step(link, payload)
    return {"ok": True}


@inside.workflow(name="index")
async def index_inside(ctx: AsyncContext, _payload: Payload) -> Payload:
    await ctx.run("createUser", done)
    await asyncio.gather(ctx.run("sendEmail", done), ctx.run("sendAnalytics", done))
    return {"ok": True}


@inside.workflow(name="chain")
async def chain_inside(ctx: AsyncContext, payload: Payload) -> Payload:
    for number in range(payload["steps"]):
        await ctx.run(f"link/{number}", done)
    return {"ok": True}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, timeout_keep_alive=75)
