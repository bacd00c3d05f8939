"""A subscription that is paid every month for a year, on Django."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from atomic import Client
from atomic.sdk.django import Context, Endpoints

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="of tests")
shop = Endpoints("shop")
paid: list[str] = []


@shop.workflow
def subscription(ctx: Context, customer: str) -> int:
    """Charge a customer twelve times, every thirty days."""
    for month in range(12):
        ctx.step(pay, f"{customer} {month}")
        ctx.sleep(timedelta(days=30))
    return 12


@shop.step
def pay(what: str) -> None:
    """Charge a customer for a month."""
    paid.append(what)


urlpatterns = [*shop.urlpatterns]


def test_a_year_is_paid_month_by_month(client: Client, serve_wsgi: Callable[[Any], str], time: Any) -> None:
    url = f"{serve_wsgi(get_wsgi_application())}/shop/subscription"
    run = client.start("subscription", url, "cus_28", key="cus_28", timeout=0)
    time.advance(timedelta(days=90))
    assert paid == ["cus_28 0", "cus_28 1", "cus_28 2", "cus_28 3"]
    ended = time.until_end(run.run_id)
    assert ended["root"]["response"] == 12
    assert len(paid) == 12
