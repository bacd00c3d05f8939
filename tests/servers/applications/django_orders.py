"""A workflow of two steps on Django, with all options at their defaults; for WSGI, ASGI and `runserver`."""

import sys

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application

from atomic.sdk.django import Context, Endpoints

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__)
django.setup()
orders = Endpoints("orders")


@orders.workflow
def order(ctx: Context, number: int) -> int:
    """Call both steps, each of which changes the number."""
    return ctx.step(ship, ctx.step(pay, number))


@orders.step
def pay(number: int) -> int:
    """The first step."""
    return number * 10


@orders.step
def ship(paid: int) -> int:
    """The second step."""
    return paid + 1


urlpatterns = orders.urlpatterns
wsgi, asgi = get_wsgi_application(), get_asgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
