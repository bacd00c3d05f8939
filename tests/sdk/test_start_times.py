"""Times of starts in the SDK: what is sent, what is refused, and what a caller and a handler are told."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask

from atomic import (
    AsyncClient,
    AsyncContext,
    Client,
    Context,
    InvalidRequestError,
    NotFinishedError,
    RefusedError,
    RunFailedError,
    StartExpiredError,
    StepDocument,
)
from atomic.sdk._wire.api import start_document
from atomic.sdk.flask import Endpoints
from sdk.threads import wsgi_server

AT = datetime(2026, 11, 23, 9, 0, 0, 123_999, timezone(timedelta(hours=2)))
NAIVE = AT.replace(tzinfo=None)
TEXT = "2026-11-23T07:00:00.123Z"
DAY = timedelta(days=1)


def sent(**options: Any) -> dict[str, Any]:
    document = start_document("w", "https://a.example/w", None, key="k", options=options)  # type: ignore[arg-type]
    return {name: document[name] for name in ("delay", "startAt", "startBy") if name in document}


@pytest.mark.parametrize(
    ("options", "members"),
    [
        ({}, {}),
        ({"start_at": AT}, {"startAt": TEXT}),
        ({"start_at": AT, "start_by": AT + DAY}, {"startAt": TEXT, "startBy": "2026-11-24T07:00:00.123Z"}),
        ({"start_by": 1.5}, {"startBy": 1500}),
        ({"start_by": timedelta(minutes=1), "delay": 2}, {"delay": 2000, "startBy": 60_000}),
        ({"start_at": datetime(1969, 12, 31, 23, tzinfo=UTC)}, {"startAt": "1969-12-31T23:00:00.000Z"}),
    ],
)
def test_times_as_they_are_sent(options: dict[str, Any], members: dict[str, Any]) -> None:
    assert sent(**options) == members


def test_a_start_has_a_year_in_utc() -> None:
    east = timezone(timedelta(hours=14))
    with pytest.raises(InvalidRequestError, match="start_at: use a time of the years 1 to 9999 in UTC"):
        sent(start_at=datetime(1, 1, 1, tzinfo=east))


@pytest.mark.parametrize("wrong", [NAIVE, "2026-11-23T07:00:00Z", 1_795_417_200, None])
def test_a_start_has_to_be_a_datetime_with_a_zone(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="start_at: use a datetime with a time zone"):
        sent(start_at=wrong)


@pytest.mark.parametrize("wrong", [NAIVE, "soon", -1, float("nan"), None])
def test_a_limit_has_to_be_a_datetime_or_a_duration(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="start_by: use "):
        sent(start_by=wrong)


def expired(ctx: Context) -> str:
    """A handler that goes on without a step that came too late."""
    try:
        ctx.step("work", start_at=datetime(2001, 1, 1, tzinfo=UTC), start_by=60)
    except StartExpiredError as late:
        return f"{late.code} {late.last_error_kind} {late.attempts}"
    return "it was called"


def naps(ctx: Context) -> str:
    ctx.sleep(100 * DAY)
    return "rested"


def night(ctx: Context) -> list[str]:
    """A sleep whose moment another replay would compute anew, and one that is over."""
    ctx.sleep_until(datetime.now(UTC) + DAY, name="night")
    ctx.sleep_until(datetime(2001, 1, 1, tzinfo=UTC))
    try:
        ctx.sleep_until(NAIVE)
    except InvalidRequestError as wrong:
        return [str(wrong)]
    return []


async def nights(ctx: AsyncContext) -> str:
    await asyncio.gather(*(ctx.sleep_until(datetime.now(UTC) + DAY) for _ in range(2)))
    return "rested"


def later(ctx: Context) -> list[str]:
    """A run of its own that starts tomorrow, and one that comes too late."""
    own = ctx.start_run("work", workflow_name="work", start_at=datetime.now(UTC) + DAY, start_by=60)
    try:
        ctx.run_workflow("work", workflow_name="work", delay=60, start_by=datetime(2001, 1, 1, tzinfo=UTC))
    except RunFailedError as late:
        return [own.run_id, own.result(), late.last_error_kind or ""]
    return []


@pytest.fixture
def app_url(atomic_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "times")
    app = Flask("times")
    served = Endpoints(app)
    served.workflow(expired)
    served.workflow(wait=0.1)(naps)
    served.workflow(wait=0.1)(night)
    served.workflow(wait=0.1)(later)
    served.step(name="work")(lambda: "done")
    # The same handlers on asyncio.
    served.workflow(wait=0.1)(nights)
    with wsgi_server(app) as url:
        yield url


def steps_of(client: Client, name: str, url: str) -> list[StepDocument]:
    """The steps of a run that has just been suspended."""
    with pytest.raises(NotFinishedError) as sleeps:
        client.start(name, url, key="a", timeout=2)
    return client.get((sleeps.value.step_id or "").removesuffix("-root")).steps


def test_a_sleep_until_a_moment_keeps_the_moment_of_its_first_call(app_url: str) -> None:
    with Client() as client:
        [nap] = steps_of(client, "night", f"{app_url}/night")
        slept = datetime.fromisoformat(nap.due_at or "") - datetime.fromisoformat(nap.created_at)
        assert (nap.kind, nap.step_name, nap.start_at) == ("timer", "night", nap.due_at)
        assert abs(slept - DAY) < timedelta(minutes=1)
        client.due(nap.id)
        outcome = client.start("night", f"{app_url}/night", key="a")
        assert "sleep_until: use a datetime with a time zone" in outcome.response[0]
        steps = client.get(outcome.run_id).steps
        assert [(each.step_name, each.start_at) for each in steps] == [
            ("night", nap.start_at),
            ("sleep", "2001-01-01T00:00:00.000Z"),
        ]


def test_sleeps_until_moments_side_by_side(app_url: str) -> None:
    with Client() as client:
        naps = steps_of(client, "nights", f"{app_url}/nights")
        assert len({nap.id for nap in naps}) == 2
        for nap in naps:
            client.due(nap.id)
        assert client.start("nights", f"{app_url}/nights", key="a").response == "rested"


def test_a_handler_starts_runs_at_their_times(app_url: str) -> None:
    with Client() as client:
        links = steps_of(client, "later", f"{app_url}/later")
        [own] = [each for each in links if each.start_at is not None]
        root = client.step(f"{own.child_run_id}-root")
        assert (root.status, root.start_at, root.due_at) == ("pending", own.start_at, own.start_at)
        client.due(root.id)
        outcome = client.start("later", f"{app_url}/later", key="a")
        assert outcome.response == [own.child_run_id, "done", "child_failed"]


def test_a_run_starts_at_its_time_and_is_moved(app_url: str) -> None:
    tomorrow = datetime.now(UTC) + DAY
    with Client() as client:
        run = client.start("work", f"{app_url}/work", key="a", start_at=tomorrow, timeout=0)
        shown = client.step(run.id)
        assert (run.status, run.due_at, shown.start_at) == ("pending", shown.start_at, shown.start_at)
        moved = client.due(run.id, at=tomorrow + DAY)
        assert datetime.fromisoformat(moved.due_at or "") - datetime.fromisoformat(run.due_at or "") == DAY
        assert client.due(run.id).status in {"pending", "running", "succeeded"}
        assert client.wait(run.id).response == "done"
        with pytest.raises(RefusedError) as refused:
            client.due(run.id)
        assert (refused.value.code, refused.value.problem["stepStatus"]) == (
            "not-reschedulable",
            "succeeded",
        )
        with pytest.raises(InvalidRequestError, match="within 366 days"):
            client.due(run.id, at=tomorrow + 400 * DAY)
        with pytest.raises(InvalidRequestError, match="at: use a datetime with a time zone"):
            client.due(run.id, at=NAIVE)


def test_a_sleep_is_ended_from_asyncio(app_url: str) -> None:
    async def main() -> None:
        async with AsyncClient() as client:
            with pytest.raises(NotFinishedError) as sleeps:
                await client.start("naps", f"{app_url}/naps", key="a", timeout=2)
            root_id = sleeps.value.step_id or ""
            [nap] = (await client.get(root_id.removesuffix("-root"))).steps
            ended = await client.due(nap.id)
            assert (ended.kind, ended.status) == ("timer", "succeeded")
            assert (await client.wait(root_id)).response == "rested"

    asyncio.run(main())


def test_a_start_that_comes_too_late_has_an_error_of_its_own(app_url: str) -> None:
    with Client() as client:
        with pytest.raises(StartExpiredError, match="before its first attempt: its first attempt") as late:
            client.start("work", f"{app_url}/work", key="b", start_by=datetime(2001, 1, 1, tzinfo=UTC))
        assert (late.value.code, late.value.attempts) == ("start-expired", 0)
        with pytest.raises(StartExpiredError, match="before its first attempt: its first attempt"):
            client.wait(late.value.step_id or "")
        outcome = client.start("expired", f"{app_url}/expired", key="c")
        assert outcome.response == "start-expired start_expired 0"
