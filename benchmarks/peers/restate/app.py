"""The user-creation workflow on Restate's Python SDK, in two shapes.

`inside` runs its steps in its own handler; `apart` calls each step as a service of its own, as Atomic does.

Usage: python app.py PORT

It is served as Restate's documentation advises for production (Hypercorn, unbounded streams), in one
process like every system here, and on uvloop.
"""

import sys
from typing import Any

import hypercorn
import restate
import uvloop
from hypercorn.asyncio import serve

Payload = dict[str, Any]
UNBOUNDED = 2**31 - 1

inside, apart, steps = (restate.Service(name) for name in ("inside", "apart", "steps"))


async def done() -> Payload:
    """The effect of a step: none."""
    return {"ok": True}


@inside.handler("index")
async def index_inside(ctx: restate.Context, _payload: Payload) -> Payload:
    await ctx.run_typed("createUser", done)
    await restate.gather(ctx.run_typed("sendEmail", done), ctx.run_typed("sendAnalytics", done))
    return {"ok": True}


@inside.handler("chain")
async def chain_inside(ctx: restate.Context, payload: Payload) -> Payload:
    for number in range(payload["steps"]):
        await ctx.run_typed(f"link/{number}", done)
    return {"ok": True}


@steps.handler("createUser")
async def create_user(_ctx: restate.Context, _payload: Payload) -> Payload:
    return await done()


@steps.handler("sendEmail")
async def send_email(_ctx: restate.Context, _payload: Payload) -> Payload:
    return await done()


@steps.handler("sendAnalytics")
async def send_analytics(_ctx: restate.Context, _payload: Payload) -> Payload:
    return await done()


@steps.handler("link")
async def link(_ctx: restate.Context, _payload: Payload) -> Payload:
    return await done()


@apart.handler("index")
async def index_apart(ctx: restate.Context, payload: Payload) -> Payload:
    await ctx.service_call(create_user, arg=payload)
    await restate.gather(
        ctx.service_call(send_email, arg=payload), ctx.service_call(send_analytics, arg=payload)
    )
    return {"ok": True}


@apart.handler("chain")
async def chain_apart(ctx: restate.Context, payload: Payload) -> Payload:
    for _ in range(payload["steps"]):
        await ctx.service_call(link, arg=payload)
    return {"ok": True}


if __name__ == "__main__":
    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    config.h2_max_concurrent_streams = config.keep_alive_max_requests = UNBOUNDED
    config.keep_alive_timeout = UNBOUNDED
    uvloop.run(serve(restate.app([inside, apart, steps]), config))  # type: ignore[arg-type]  # its types of ASGI are narrower
