"""An application whose process is measured: `python -m sdk.thousands PORT ATOMIC_URL`."""

import sys

import uvicorn
from starlette.applications import Starlette

from atomic.sdk import AsyncClient, AsyncContext, Client, Context
from atomic.sdk.starlette import Endpoints


def application(atomic_url: str) -> Starlette:
    """Serve /plain and /later, each a map of as many items as its payload says."""

    def plain(ctx: Context, count: int) -> int:
        return sum(ctx.map(range(count), "double").results())

    async def later(ctx: AsyncContext, count: int) -> int:
        return sum((await ctx.map(range(count), "double")).results())

    def double(number: int) -> int:
        return 2 * number

    app = Starlette()
    served = Endpoints(app, wait=5)
    served.workflow(client=Client(atomic_url, client_id="me"))(plain)
    served.workflow(client=AsyncClient(atomic_url, client_id="me"))(later)
    served.step(double)
    return app


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[2]), port=int(sys.argv[1]), log_level="error")
