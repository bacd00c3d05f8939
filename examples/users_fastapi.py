"""User creation on FastAPI: SQLite through SQLAlchemy, mail over SMTP, analytics over HTTP.

Run each line in a terminal of its own (services.py is beside this file: a mail server, and a collector that
refuses its first two calls):

    pip install 'atomic-workflows[server,async]' fastapi sqlalchemy aiosmtpd
    atomic serve --dev
    python services.py
    uvicorn users_fastapi:app --port 9000
    curl http://127.0.0.1:9000/users --json '{"name": "ada"}' -H 'Idempotency-Key: ada-1'
"""

import asyncio
import hashlib
import os
import smtplib
from email.message import EmailMessage
from typing import Annotated, Any

import requests
from fastapi import FastAPI, Header, Request
from pydantic import BaseModel
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from atomic import AsyncClient, Retry, idempotent
from atomic.sdk.fastapi import AsyncContext, Call, Endpoints
from atomic.sdk.idempotency import create_table

SMTP_PORT = int(os.environ.get("SMTP_PORT", "8025"))
COLLECTOR = os.environ.get("COLLECTOR_URL", "http://127.0.0.1:8026")
RETRY = Retry(count=10, back_off=0.2)

engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///users.db"))
with engine.begin() as connection:
    create_table(connection)  # the table of keys; a migration tool may create it instead
    connection.execute(text("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT)"))

app = FastAPI()
users = Endpoints(app, "/users")


class User(BaseModel):
    """A user; the database gives the id."""

    name: str
    id: int | None = None


@app.post("/users")
async def sign_up(user: User, request: Request, idempotency_key: Annotated[str, Header()]) -> Any:
    """The page that a browser calls. The same key again gets the same answer, and nothing happens twice."""
    async with AsyncClient() as atomic:
        url = str(request.url_for("users/create"))
        return (await atomic.start("createUser", url, user, key=idempotency_key)).response


@users.workflow
async def create(ctx: AsyncContext, new: User) -> Any:
    """One step, then two in parallel."""
    user = await ctx.step(insert, new, retry=RETRY)
    mail, _ = await asyncio.gather(ctx.step(welcome, user, retry=RETRY), ctx.step(track, user, retry=RETRY))
    return {"user": user, "mail": mail}


@users.step
def insert(new: User, call: Call) -> Any:
    """The row and the key are written in one transaction."""

    def row() -> User:
        insertion = text("INSERT INTO users (name) VALUES (:name) RETURNING id")
        return User(id=session.execute(insertion, {"name": new.name}).scalar_one(), name=new.name)

    with Session(engine) as session, session.begin():
        return idempotent(session, call, row)


@users.step
def welcome(user: User, call: Call) -> str:
    """SMTP has no idempotency keys.

    The Message-ID is the same in each attempt, so that a copy can be recognized.
    """
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@example.com", f"{user.name}@example.com", "Welcome"
    mail["Message-ID"] = f"<{hashlib.sha256(call.idempotency_key.encode()).hexdigest()[:32]}@example.com>"
    mail.set_content(f"Hello {user.name}, you are number {user.id}.\n")
    with smtplib.SMTP("127.0.0.1", SMTP_PORT, timeout=10) as smtp:
        smtp.send_message(mail)
    return str(mail["Message-ID"])


@users.step
def track(user: User, call: Call) -> None:
    """The collector uses the same idempotency key.

    If it refuses the event, this raises, and Atomic retries.
    """
    event = {"event": "userCreated", "user": user.id}
    key = {"Idempotency-Key": call.idempotency_key}
    requests.post(COLLECTOR, json=event, headers=key, timeout=10).raise_for_status()
