"""User creation on Django, in one file: its own database and mail settings, analytics over HTTP.

Run each line in a terminal of its own (services.py is beside this file: a mail server, and a collector that
refuses its first two calls):

    pip install 'atomic-workflows[server]' django aiosmtpd
    atomic serve --dev
    python services.py
    python users_django.py runserver --noreload 9000
    curl http://127.0.0.1:9000/users --json '{"name": "ada"}' -H 'Idempotency-Key: ada-1'
"""

import hashlib
import json
import os
import sys
from typing import Any

import django
import requests
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.db import connection, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel

from atomic import Client, Retry, idempotent
from atomic.sdk.django import Call, Context, Endpoints
from atomic.sdk.idempotency import create_table

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "users.db"}},
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(os.environ.get("SMTP_PORT", "8025")),
    ROOT_URLCONF=__name__,
)
django.setup()
application = get_wsgi_application()

COLLECTOR = os.environ.get("COLLECTOR_URL", "http://127.0.0.1:8026")
RETRY = Retry(count=10, back_off=0.2)
atomic = Client()
users = Endpoints("users")


class User(BaseModel):
    """A user; the database gives the id."""

    name: str
    id: int | None = None


@csrf_exempt
def sign_up(request: HttpRequest) -> JsonResponse:
    """The page that a browser calls. The same key again gets the same answer, and nothing happens twice."""
    url, key = request.build_absolute_uri(reverse("users/create")), request.headers["Idempotency-Key"]
    return JsonResponse(atomic.start("createUser", url, json.loads(request.body), key=key).response)


@users.workflow
def create(ctx: Context, new: User) -> Any:
    """One step, then two in parallel."""
    user = ctx.step(insert, new, retry=RETRY)
    mail, _ = ctx.gather(ctx.call(welcome, user, retry=RETRY), ctx.call(track, user, retry=RETRY))
    return {"user": user, "mail": mail}


@users.step
def insert(new: User, call: Call) -> Any:
    """The row and the key are written in one transaction. In your project, `row` would save a model."""

    def row() -> User:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO users (name) VALUES (%s)", [new.name])
            return User(id=cursor.lastrowid, name=new.name)

    with transaction.atomic():
        return idempotent(connection, call, row)


@users.step
def welcome(user: User, call: Call) -> str:
    """SMTP has no idempotency keys.

    The Message-ID is the same in each attempt, so that a copy can be recognized.
    """
    message_id = f"<{hashlib.sha256(call.idempotency_key.encode()).hexdigest()[:32]}@example.com>"
    text = f"Hello {user.name}, you are number {user.id}.\n"
    to = [f"{user.name}@example.com"]
    EmailMessage("Welcome", text, "shop@example.com", to, headers={"Message-ID": message_id}).send()
    return message_id


@users.step
def track(user: User, call: Call) -> None:
    """The collector uses the same idempotency key.

    If it refuses the event, this raises, and Atomic retries.
    """
    event = {"event": "userCreated", "user": user.id}
    key = {"Idempotency-Key": call.idempotency_key}
    requests.post(COLLECTOR, json=event, headers=key, timeout=10).raise_for_status()


urlpatterns = [path("users", sign_up), *users.urlpatterns]

if __name__ == "__main__":
    with connection.cursor() as setup:
        create_table(connection)  # the table of keys; a migration may create it instead
        setup.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT)")
    execute_from_command_line(sys.argv)
