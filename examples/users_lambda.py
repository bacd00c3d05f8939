"""User creation on AWS Lambda: DynamoDB for the users, mail over SMTP, analytics over HTTP.

One function behind an HTTP API (or a function URL) whose every path leads to it:

    pip install --target build atomic-workflows requests
    cp users_lambda.py build/          # zip it; the handler is users_lambda.handler

Environment: ATOMIC_URL, ATOMIC_CLIENT_ID, ATOMIC_API_KEY and ATOMIC_SIGNING_SECRET, as `atomic clients
create` gives them; USERS_TABLE and KEYS_TABLE, tables whose partition key is a string named `id`;
SMTP_HOST, SMTP_PORT and COLLECTOR_URL. Its role needs dynamodb:GetItem and dynamodb:PutItem on both tables.
"""

import hashlib
import os
import smtplib
from email.message import EmailMessage
from typing import Any

import boto3
import requests
from pydantic import BaseModel

from atomic import Retry
from atomic.sdk.aws_lambda import Call, Context, Endpoints
from atomic.sdk.dynamodb import idempotent

RETRY = Retry(count=10, back_off=0.2)
dynamodb = boto3.client("dynamodb")
handler = Endpoints("/users")


class User(BaseModel):
    """A user; the id is made by the step that inserts it."""

    name: str
    id: str | None = None


@handler.workflow
def create(ctx: Context, new: User) -> Any:
    """One step, then two in parallel."""
    user = ctx.step(insert, new, retry=RETRY)
    mail, _ = ctx.gather(ctx.call(welcome, user, retry=RETRY), ctx.call(track, user, retry=RETRY))
    return {"user": user, "mail": mail}


@handler.step
def insert(new: User, call: Call) -> Any:
    """The item and the key are written in one transaction. A second call gets the id of the first."""

    def item() -> tuple[User, list[Any]]:
        user = User(id=os.urandom(8).hex(), name=new.name)
        put = {"id": {"S": user.id}, "name": {"S": user.name}}
        return user, [{"Put": {"TableName": os.environ["USERS_TABLE"], "Item": put}}]

    return idempotent(dynamodb, call, item, table=os.environ["KEYS_TABLE"])


@handler.step
def welcome(user: User, call: Call) -> str:
    """SMTP has no idempotency keys.

    The Message-ID is the same in each attempt, so that a copy can be recognized.
    """
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@example.com", f"{user.name}@example.com", "Welcome"
    mail["Message-ID"] = f"<{hashlib.sha256(call.idempotency_key.encode()).hexdigest()[:32]}@example.com>"
    mail.set_content(f"Hello {user.name}, your number is {user.id}.\n")
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]), timeout=10) as smtp:
        smtp.send_message(mail)
    return str(mail["Message-ID"])


@handler.step
def track(user: User, call: Call) -> None:
    """The collector uses the same idempotency key.

    If it refuses the event, this raises, and Atomic retries.
    """
    event = {"event": "userCreated", "user": user.id}
    key = {"Idempotency-Key": call.idempotency_key}
    requests.post(os.environ["COLLECTOR_URL"], json=event, headers=key, timeout=10).raise_for_status()
