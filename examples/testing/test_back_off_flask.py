"""A step that is tried again after six hours, on Flask."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Flask

from atomic import Client, Retry
from atomic.sdk.flask import Context, Endpoints

app = Flask(__name__)
shop = Endpoints(app)
answers: list[str] = []


@shop.workflow
def order(ctx: Context, amount: int) -> str:
    """Charge a card; a bank that is closed is asked again after six hours."""
    retry = Retry(count=4, back_off=timedelta(hours=6), strategy="fixed", max_back_off=timedelta(hours=6))
    charged: str = ctx.step(charge, amount, retry=retry)
    return charged


@shop.step
def charge(amount: int) -> str:
    """Charge a card."""
    answers.append("asked")
    if len(answers) < 3:
        raise ConnectionError("the bank is closed")
    return f"charged {amount}"


def test_the_bank_is_asked_every_six_hours(
    client: Client, serve_wsgi: Callable[[Any], str], time: Any
) -> None:
    run = client.start("order", f"{serve_wsgi(app)}/order", 5, key="order-1", timeout=0)
    time.advance(timedelta(hours=5))
    assert answers == ["asked"]
    time.advance(timedelta(hours=1))
    assert answers == ["asked", "asked"]
    time.advance(timedelta(hours=6))
    assert client.wait(run.id).response == "charged 5"
