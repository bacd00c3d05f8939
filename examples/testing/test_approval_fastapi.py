"""A three-day approval with a reminder after the first day, on FastAPI."""

import threading
import time as real_time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from atomic import Client
from atomic.sdk.fastapi import AsyncContext, Endpoints

app = FastAPI()
offers = Endpoints(app, prefix="/offers")
mails: list[str] = []


@offers.workflow
async def approve(ctx: AsyncContext, offer: str) -> str:
    """Ask for an approval, remind after a day, and give the offer up after three."""
    await ctx.step(mail, f"please approve {offer}")
    answer: Any = await ctx.event("approval", deadline=timedelta(days=1), default=None)
    if answer is None:
        await ctx.step(mail, f"do not forget {offer}")
        answer = await ctx.event("approval", deadline=timedelta(days=2), default=None)
    return "withdrawn" if answer is None else f"approved by {answer['by']}"


@offers.step
async def mail(text: str) -> None:
    """Send a mail."""
    mails.append(text)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The application on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        real_time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/offers"
    server.should_exit = True
    thread.join()


def test_it_reminds_after_a_day_and_takes_the_answer(client: Client, url: str, time: Any) -> None:
    mails.clear()
    run = client.start("approve", f"{url}/approve", "offer 7", key="offer-7", timeout=0)
    time.advance(timedelta(hours=23))
    assert mails == ["please approve offer 7"]
    time.advance(timedelta(hours=2))
    assert mails == ["please approve offer 7", "do not forget offer 7"]
    client.signal("approve", "offer-7", "approval", {"by": "ada"}, number=2)
    assert client.wait(run.id).response == "approved by ada"


def test_it_withdraws_after_three_days(client: Client, url: str, time: Any) -> None:
    run = client.start("approve", f"{url}/approve", "offer 8", key="offer-8", timeout=0)
    ended = time.until_end(run.run_id)
    assert ended["root"]["response"] == "withdrawn"
