"""The application for the tests of the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flask import Flask

from atomic import Context, NonRetryable
from atomic.sdk.flask import Endpoints
from sdk.threads import wsgi_server


@contextmanager
def shop(refuses: Callable[[int], bool]) -> Iterator[str]:
    """Serve /order, whose step pays the payload unless refused, and /approval, which waits for an event.

    /rounds goes on once, as a run that waits for an event.
    """
    app = Flask("shop")
    served = Endpoints(app)

    @served.workflow
    def order(ctx: Context, payload: int) -> dict[str, int]:
        return {"paid": ctx.step(pay, payload, retry=0)}

    @served.step
    def pay(payload: int) -> int:
        if refuses(payload):
            raise NonRetryable("too much")
        return payload

    @served.workflow(wait=0.1)
    def approval(ctx: Context) -> object:
        return ctx.event("approval")

    @served.workflow(wait=0.1)
    def rounds(ctx: Context, is_first: bool) -> object:
        return ctx.continue_as(payload=False) if is_first else ctx.event("stop")

    with wsgi_server(app) as url:
        yield url
