"""Fan-out: a hundred steps side by side, on FastAPI; one that fails is retried alone.

Run each line in a terminal of its own:

    pip install 'atomic-workflows[server,async]' fastapi
    atomic serve --dev
    uvicorn fan_out:app --port 9000
    atomic start thumbnails http://127.0.0.1:9000/thumbnails/all --key album-1 --payload 100
"""

import asyncio
from typing import Any

from fastapi import FastAPI

from atomic import AsyncContext, Call, Retry
from atomic.sdk.fastapi import step, workflow

app = FastAPI()
RETRY = Retry(count=5, back_off=0.1)


@app.post("/thumbnails/all")
@workflow
async def all_thumbnails(ctx: AsyncContext, count: int) -> Any:
    """All at once. Each call of `one` is a step of its own; nothing has to name them."""
    pictures = [f"picture-{number}.jpg" for number in range(count)]
    sizes = await asyncio.gather(*[ctx.step("one", name, result=int, retry=RETRY) for name in pictures])
    return {"thumbnails": len(sizes), "bytes": sum(sizes)}


@app.post("/thumbnails/one")
@step
async def one_thumbnail(name: str, call: Call) -> int:
    """Every tenth picture fails once."""
    if name.endswith("7.jpg") and call.attempt == 1:
        raise RuntimeError(f"{name}: out of memory")
    await asyncio.sleep(0.05)
    return len(name)
