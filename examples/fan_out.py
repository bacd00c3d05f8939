"""Fan-out: a hundred steps side by side, on FastAPI; one that fails is retried alone.

Run each line in a terminal of its own:

    pip install 'atomic-workflows[server,async]' fastapi
    atomic serve --dev
    uvicorn fan_out:app --port 9000
    atomic start thumbnails http://127.0.0.1:9000/thumbnails/album --key album-1 --payload 100
"""

import asyncio
from typing import Any

from fastapi import FastAPI

from atomic import Retry
from atomic.sdk.fastapi import AsyncContext, Call, Endpoints

app = FastAPI()
thumbnails = Endpoints(app, "/thumbnails")
RETRY = Retry(count=5, back_off=0.1)


@thumbnails.workflow
async def album(ctx: AsyncContext, count: int) -> Any:
    """Make all thumbnails at once. Each call of `thumbnail` is a step of its own and needs no name."""
    pictures = [f"picture-{number}.jpg" for number in range(count)]
    sizes = await asyncio.gather(*[ctx.step(thumbnail, name, retry=RETRY) for name in pictures])
    return {"thumbnails": len(sizes), "bytes": sum(sizes)}


@thumbnails.step
async def thumbnail(name: str, call: Call) -> int:
    """Every tenth picture fails once."""
    if name.endswith("7.jpg") and call.attempt == 1:
        raise RuntimeError(f"{name}: out of memory")
    await asyncio.sleep(0.05)
    return len(name)
