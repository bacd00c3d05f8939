"""User creation on Flask: SQLite through sqlite3, mail over SMTP, analytics over HTTP.

Run each line in a terminal of its own (services.py is beside this file: a mail server, and a collector that
refuses its first two calls):

    pip install 'atomic-workflows[server]' flask aiosmtpd
    atomic serve --dev
    python services.py
    flask --app users_flask run --port 9000
    curl http://127.0.0.1:9000/users --json '{"name": "ada"}' -H 'Idempotency-Key: ada-1'
"""

import hashlib
import os
import smtplib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import requests
from flask import Flask, request, url_for

from atomic import Client, Retry, idempotent
from atomic.sdk.flask import Call, Context, Endpoints
from atomic.sdk.idempotency import create_table

SMTP_PORT = int(os.environ.get("SMTP_PORT", "8025"))
COLLECTOR = os.environ.get("COLLECTOR_URL", "http://127.0.0.1:8026")
RETRY = Retry(count=10, back_off=0.2)
DATABASE = "users.db"

with closing(sqlite3.connect(DATABASE)) as db:
    create_table(db)  # the table of keys; a migration tool may create it instead
    db.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT)")

app = Flask(__name__)
users = Endpoints(app, "/users")
atomic = Client()


@dataclass
class User:
    """A user; the database gives the id."""

    name: str
    id: int | None = None


@app.post("/users")
def sign_up() -> Any:
    """The page that a browser calls. The same key again gets the same answer, and nothing happens twice."""
    url, key = url_for("users/create", _external=True), request.headers["Idempotency-Key"]
    return atomic.start("createUser", url, request.json, key=key).response


@users.workflow
def create(ctx: Context, new: User) -> Any:
    """One step, then two in parallel."""
    user = ctx.step(insert, new, retry=RETRY)
    mail, _ = ctx.gather(ctx.call(welcome, user, retry=RETRY), ctx.call(track, user, retry=RETRY))
    return {"user": user, "mail": mail}


@users.step
def insert(new: User, call: Call) -> Any:
    """The row and the key are written in one transaction."""

    def row() -> User:
        added = db.execute("INSERT INTO users (name) VALUES (?)", (new.name,))
        return User(id=added.lastrowid, name=new.name)

    with closing(sqlite3.connect(DATABASE)) as db, db:  # `with db` commits, or rolls back after an error
        return idempotent(db, call, row)


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
