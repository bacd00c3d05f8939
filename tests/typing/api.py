"""Uses of the public API, for mypy and pyright in strict mode to check. This file is never run."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

from django.urls import path
from fastapi import FastAPI
from flask import Flask
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Route

from atomic import (
    AsyncClient,
    AsyncContext,
    AsyncRunHandle,
    Batch,
    Call,
    Client,
    Context,
    EventId,
    EventOutcome,
    NonRetryable,
    Retry,
    RetryAfter,
    RunDocument,
    RunHandle,
    RunSummary,
    StepDocument,
    StepFailedError,
    StepOutcome,
    idempotent,
)
from atomic.sdk import aws_lambda, django, dynamodb, fastapi, flask, starlette


class User(BaseModel):
    name: str


def clients(client: Client) -> None:
    outcome = client.start("w", "https://app.example/w", User(name="ada"), key="k", retry=10, timeout=None)
    assert_type(outcome, StepOutcome)
    assert_type(client.wait(outcome.id, timeout=timedelta(hours=1)), StepDocument)
    assert_type(client.get(outcome.run_id), RunDocument)
    assert_type(client.runs(status="failed", workflow_name="w", limit=5), list[RunSummary])
    assert_type(client.cancel(outcome.run_id), RunSummary)
    assert_type(client.redrive(outcome.id), StepOutcome)
    assert_type(client.redrive_all(key_prefix="order-"), list[str])
    client.start("w", "https://app.example/w", key=UUID(int=1), delay=timedelta(hours=1))
    client.start("w", "https://app.example/w", key=7)
    with Client("https://atomic.example", client_id="me", api_key="atm_1", patience=5) as own:
        own.complete("run_1-root", {"approved": True})
        assert_type(own.signal("order", 7, "paid", User(name="ada")), EventOutcome)
        assert_type(own.reject("order", 7, "paid", "declined", number=2), EventOutcome)


async def async_clients(client: AsyncClient) -> None:
    outcome = await client.start("w", "https://app.example/w", key="k", retry=Retry(count=3, back_off=0.5))
    assert_type(outcome, StepOutcome)
    assert_type(await client.wait(outcome.id), StepDocument)
    assert_type(await client.runs(), list[RunSummary])
    async with AsyncClient() as own:
        await own.cancel(outcome.run_id)


def plain(ctx: Context, user: User) -> None:
    assert_type(ctx.step("createUser", user, result=User), User)
    assert_type(ctx.step("createUser", user), Any)
    mails = ctx.gather(*[ctx.call("mail", user, result=int, key=name) for name in ("a", "b")])
    assert_type(mails, list[int])
    ctx.sleep(timedelta(days=30))
    assert_type(ctx.event("approval", result=bool, deadline=timedelta(days=3)), bool)
    assert_type(ctx.event("approval", result=bool, deadline=60, default=None), bool | None)
    assert_type(ctx.event("approval", deadline=60, default="nobody"), Any)
    assert_type(ctx.open_event("approval"), EventId)
    assert_type(ctx.open_event("approval", capture=["x-signature"]).url, str)
    assert_type(ctx.callback("paid", submit="charge", result=int), int)
    assert_type(ctx.callback("paid", submit="charge", result=int, deadline=60, default=None), int | None)
    assert_type(ctx.callback("paid", submit=lambda url: ctx.step("charge", url)), Any)
    assert_type(ctx.run("tag", lambda: user.name), str)
    assert_type(ctx.run("user", lambda: user, returns=User, retry=Retry(count=2, on=ConnectionError)), User)
    assert_type((ctx.now(), ctx.uuid(), ctx.random()), tuple[datetime, UUID, float])
    assert_type(ctx.version("by letter", 2), int)
    ctx.step("pay", name="deposit")
    ctx.step("pay", start_at=datetime.now(UTC), start_by=timedelta(hours=1))
    ctx.sleep(1, name="cool down")
    ctx.sleep_until(datetime.now(UTC), name="night")
    assert_type(ctx.gather(lambda: 1, name="load"), list[int])
    assert_type(ctx.gather(lambda: 1, return_exceptions=True, name="load"), list[int | Exception])
    assert_type(ctx.parallel({"a": lambda: 1}, concurrency=2, name="load")[0].name, str)
    assert_type(ctx.parallel([ctx.call("mail", result=int)], name="load"), Batch[int])
    assert_type(ctx.race({"a": ctx.call("mail", result=int)}, name="first"), tuple[str, int])
    assert_type(ctx.map([1], "mail", key=lambda number: str(number), name="mails"), Batch[Any])
    assert_type(ctx.until("check", every=1, name="paid"), Any)
    assert_type([ctx.run_id, ctx.idempotency_key], list[str])
    assert_type(ctx.attempt, int)


def invoice(ctx: Context, user: User) -> bytes:
    assert_type(ctx.run_workflow(invoice, user, key=7, on_cancel="keep", retry=3), bytes)
    assert_type(ctx.run_workflow("invoice", user, workflow_name="invoice"), Any)
    assert_type(ctx.run_workflow("invoice", user, workflow_name="invoice", result=User), User)
    handle = ctx.start_run(invoice, user, name="bill", deadline=timedelta(days=1), on_lost="fail")
    assert_type(handle, RunHandle[bytes])
    assert_type(handle.result(), bytes)
    handle.cancel()
    assert_type(ctx.start_run("invoice", workflow_name="invoice", detached=True).run_id, str)
    assert_type(ctx.gather(ctx.call_workflow(invoice, user), handle.result), list[bytes])
    return ctx.continue_as(user, key=UUID(int=2))


async def async_invoice(ctx: AsyncContext, user: User) -> bytes:
    assert_type(await ctx.run_workflow(async_invoice, user, attempt_timeout=60), bytes)
    assert_type(await ctx.run_workflow(invoice, user), bytes)
    assert_type(await ctx.run_workflow("invoice", user, workflow_name="invoice"), Any)
    handle = await ctx.start_run("invoice", user, workflow_name="invoice", result=User)
    assert_type(handle, AsyncRunHandle[User])
    assert_type(await handle.result(), User)
    await handle.cancel()
    await asyncio.gather(ctx.run_workflow(invoice, user), ctx.start_run(invoice, detached=True))
    assert_type((await ctx.race({"a": ctx.run_workflow(invoice, user)}))[1], bytes)
    return await ctx.continue_as(user)


def trip(ctx: Context, user: User) -> None:
    with ctx.saga("trip", retry=3) as saga:
        assert_type(saga.step(invoice, user, undo=trip, key=7), bytes)
        assert_type(saga.step(async_invoice, user, undo="cancel", undo_payload=None), bytes)
        assert_type(saga.step("book", user, undo=lambda: ctx.step("cancel")), Any)
        assert_type(saga.step("book", user, undo="cancel", result=User), User)
        saga.run("number", lambda: 7, undo="cancel")
        saga.undo(trip, user, name="by hand")


async def async_trip(ctx: AsyncContext, user: User) -> None:
    async with ctx.saga() as saga:
        assert_type(await saga.step(invoice, user, undo=trip), bytes)
        assert_type(await saga.step(async_invoice, user, undo=async_trip), bytes)
        assert_type(await saga.step("book", user, undo=lambda: ctx.step("cancel")), Any)
        assert_type(await saga.step("book", user, undo="cancel", result=User), User)
        await saga.run("number", fetch, undo="cancel")
        saga.undo("cancel", user)


async def fetch() -> bytes:
    return b""


async def asynchronous(ctx: AsyncContext, user: User) -> None:
    created = await ctx.step("createUser", user, result=User, retry=Retry(count=10), timeout=8)
    assert_type(created, User)
    await asyncio.gather(ctx.step("mail", user), ctx.sleep(1))
    async with asyncio.TaskGroup() as group:
        mail = group.create_task(ctx.step("mail", user, result=str))
    assert_type(mail.result(), str)
    await ctx.sleep(1.5, name="cool down")
    await ctx.sleep_until(datetime.now(UTC), name="night")
    assert_type(await ctx.run("tag", lambda: user.name, retry=2), str)
    assert_type(await ctx.run("user", lambda: user, returns=User), User)
    assert_type(await ctx.run("fetched", fetch), bytes)
    assert_type(await ctx.now(), datetime)
    assert_type(await ctx.version("by letter", 2), int)
    await asyncio.gather(ctx.uuid(), ctx.random(), ctx.step("pay", name="deposit"))
    assert_type(await ctx.event("approval", result=bool), bool)
    assert_type(await ctx.event("approval", result=bool, deadline=60, default=None), bool | None)
    assert_type(await ctx.gather(fetch(), name="load"), list[bytes])
    assert_type(await ctx.gather(fetch(), return_exceptions=True, name="load"), list[bytes | Exception])
    assert_type(await ctx.parallel({"a": fetch()}, concurrency=2, name="load"), Batch[bytes])
    assert_type(await ctx.race({"a": fetch()}, name="first"), tuple[str, bytes])
    assert_type(await ctx.map([1], "mail", result=int, key=str, name="mails"), Batch[int])
    assert_type(await ctx.until("check", every=1, name="paid"), Any)


app = Flask("shop")


@app.post("/users")
@flask.workflow
def users(ctx: Context, user: User) -> User:
    return ctx.step("createUser", user, result=User)


@flask.step(secrets=["whsec_1"], base_url="https://app.example")
def create_user(user: User, call: Call) -> User:
    if call.attempt > 10:
        raise NonRetryable("no")
    raise RetryAfter(5)


@fastapi.workflow(client=AsyncClient(), wait=timedelta(seconds=10))
async def order(ctx: AsyncContext) -> None:
    try:
        await ctx.step("pay")
    except StepFailedError as error:
        assert_type(error.last_status, int | None)
        assert_type(error.reason, str)
        raise RetryAfter(timedelta(minutes=1), error.reason) from None


@aws_lambda.step
def handler(payload: User) -> str:
    return payload.name


assert_type(handler({}, None), dict[str, Any])


def once(session: Any, call: Call) -> Any:
    return idempotent(session, call, lambda: 7, scope="mail")


def once_in_dynamodb(client: Any, call: Call) -> Any:
    return dynamodb.idempotent(client, call, lambda: (7, []), table="keys")


@django.step
def django_step(payload: User) -> str:
    return payload.name


@django.workflow
async def django_workflow(ctx: AsyncContext) -> None:
    await ctx.step("pay")


shop = django.Endpoints("shop", steps=[len], secrets=["whsec_1"])
urlpatterns = [path("pay", django_step), path("order", django_workflow), *shop.urlpatterns]
lambda_handler = aws_lambda.Endpoints("/users", steps=[once])
assert_type(lambda_handler({}, None), dict[str, Any])
orders = flask.Endpoints(app, "/orders")
served = fastapi.Endpoints(FastAPI(), "/users", base_url="https://app.example", wait=5)


@starlette.step(secrets=["whsec_1"])
def starlette_step(payload: User) -> str:
    return payload.name


starlette_app = Starlette(routes=[Route("/pay", starlette_step, methods=["POST"])])
parcels = starlette.Endpoints(starlette_app, "/parcels", wait=5)


@parcels.step
def weigh(user: User) -> float:
    return 1.5


@parcels.workflow
async def send(ctx: starlette.AsyncContext, user: User) -> float:
    assert_type(await ctx.step(weigh, user), float)
    return 0.5


@served.step
async def charge(user: User, call: Call) -> int:
    return len(user.name)


@served.step(name="send-mail")
def mail(user: User) -> str:
    return user.name


@served.workflow(client=AsyncClient(), wait=timedelta(seconds=10))
async def sign_up(ctx: fastapi.AsyncContext, user: User) -> str:
    assert_type(await ctx.step(charge, user, key="k", retry=10), int)
    assert_type(await ctx.step(mail, user), str)
    assert_type(await ctx.step(mail, user, result=bytes), bytes)
    sent = await asyncio.gather(ctx.step(mail, user), ctx.step(mail, user))
    assert_type(sent, tuple[str, str])
    return sent[0]


@orders.workflow
def position(ctx: flask.Context, user: User) -> list[str]:
    assert_type(ctx.step(charge, user), int)
    assert_type(ctx.step(sign_up, user), str)
    return ctx.gather(ctx.call(mail, user), ctx.call("mail", user, result=str))


assert_type(mail(User(name="ada")), str)


def wrong(client: Client, ctx: Context) -> None:
    client.start("w", "https://app.example/w")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.runs(status="ended")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.step("a", retries=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    ctx.event("a", timeout=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
