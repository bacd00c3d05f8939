"""Schedules in both clients, declared at workflows, and from the command line, on a real server."""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from answering import Answering
from atomic.cli.main import main
from atomic.sdk import Call, Client, Codec, Context, Flow, InvalidRequestError, NotFoundError
from atomic.sdk.errors import RefusedError
from atomic.sdk.flask import Endpoints, step
from atomic.sdk.schedules import At, Cron, Every, Times

DAY = timedelta(days=1)
SINCE, TO = datetime(2020, 2, 28, tzinfo=UTC), datetime(2020, 3, 2, tzinfo=UTC)

Call_ = Callable[..., Any]


@pytest.fixture
def endpoint() -> Iterator[Answering]:
    answering = Answering(lambda _path, _call: (200, "done"))
    yield answering
    answering.close()


@pytest.fixture
def call(call_part: Call_) -> Call_:
    """Call a method of a client's schedules, as a client of its own."""
    return partial(call_part, "schedules")


def test_a_schedule_in_a_client(call: Call_, endpoint: Answering) -> None:
    url = f"{endpoint.url}/digest"
    times = Cron(
        ["0 12 * * *", "@yearly"], tz="Asia/Tokyo", overlap="queue", spread=60, until=TO + 9000 * DAY
    )

    limit = Flow("reports", concurrency=2)
    put = call("put", "digest", times, "digest", url, {"a": 1}, retry=3, flow=limit)

    assert (put.cron, put.time_zone, put.overlap, put.spread) == (
        ["0 12 * * *", "@yearly"],
        "Asia/Tokyo",
        "queue",
        60_000,
    )
    assert (put.start["payload"], put.start["retry"]["count"]) == ({"a": 1}, 3)
    assert [(each["key"], each["concurrency"]) for each in put.start["flow"]] == [("reports", 2)]
    assert call("get", "digest") == put
    [listed] = call("all")
    assert (listed.version, listed.next) == (put.version, put.next[:1])
    assert call("next", "digest", count=2, since=SINCE) == [
        "2020-02-28T03:00:00.000Z",
        "2020-02-29T03:00:00.000Z",
    ]
    paused = call("pause", "digest", "holidays")
    assert (paused.paused, paused.note) == (True, "holidays")
    assert not call("resume", "digest").paused
    assert call("trigger", "digest", "k").created
    assert not call("trigger", "digest", "k").created
    seen = call("backfill", "digest", SINCE, TO, dry_run=True)
    assert ([slot.run_id for slot in seen.slots], seen.started) == ([None] * 3, 0)
    made = call("backfill", "digest", SINCE, TO)
    assert (made.started, made.existing, made.next, len(made.slots)) == (3, 0, None, 3)
    seen = call("backfill", "digest", SINCE, TO, dry_run=True)
    assert [slot.run_id for slot in seen.slots] == [slot.run_id for slot in made.slots]
    assert (seen.started, seen.existing) == (0, 3)
    assert call("backfill", "digest", SINCE, TO).existing == 3
    call("delete", "digest")
    with pytest.raises(NotFoundError):
        call("get", "digest")


def test_a_backfill_of_many_pages(call: Call_, endpoint: Answering) -> None:
    call("put", "often", Every(60), "often", endpoint.url, paused=True)
    made = call("backfill", "often", SINCE, SINCE + timedelta(minutes=250))
    assert (made.started, len({slot.run_id for slot in made.slots})) == (250, 250)


def test_versions_of_a_schedule(call: Call_, endpoint: Answering) -> None:
    times = At(datetime(2199, 1, 1, tzinfo=UTC))
    dry = call("put", "once", times, "w", endpoint.url, dry_run=True)
    assert dry.next == ["2199-01-01T00:00:00.000Z"]
    assert call("all") == []
    first = call("put", "once", times, "w", endpoint.url, version=0)
    with pytest.raises(RefusedError):
        call("put", "once", times, "w", endpoint.url, version=0)
    second = call("put", "once", times, "w", endpoint.url, version=first.version)
    assert second.version == first.version + 1
    with pytest.raises(RefusedError):
        call("put", "once", times, "w", endpoint.url, version=first.version)


@pytest.mark.parametrize(
    ("times", "options", "says"),
    [
        (Cron("0 25 * * *"), {}, "hour"),
        (Cron("0 1 * * *", tz="Europe/Berln"), {}, "Europe/Berlin"),
        (Every(0.5), {}, "every"),
        (At(datetime(2199, 1, 1)), {}, "time zone"),  # noqa: DTZ001 - on purpose
        (Every(60), {"delay": 5}, "delay"),
        (Every(60), {"start_by": 5}, "start_by"),
        (Every(60), {"retyr": 5}, "retyr"),
    ],
)
def test_a_wrong_schedule_is_refused(
    call: Call_, endpoint: Answering, times: Times, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        call("put", "wrong", times, "w", endpoint.url, **options)


def test_a_payload_under_a_codec_is_refused(atomic_url: str) -> None:
    class Reversed(Codec):
        def encode(self, data: bytes, where: Any) -> bytes:
            return data[::-1]

        def decode(self, data: bytes, where: Any) -> bytes:
            return data[::-1]

    with Client(atomic_url, codec=Reversed()) as client, pytest.raises(InvalidRequestError, match="codec"):
        client.schedules.put("c", Every(60), "w", "http://127.0.0.1:9", 7)


def shop() -> Endpoints:
    """An application that declares two schedules."""
    endpoints = Endpoints(Flask("shop"), "/reports")

    @endpoints.workflow(schedule=Cron("0 8 * * *", tz="Europe/Berlin", payload={"of": "sales"}))
    def digest(_: Context, what: dict[str, str], call: Call) -> str:
        return f"{what} {call.scheduled_at}"

    @endpoints.workflow(name="cleanup", schedule=Every(3600, name="hourly-cleanup"))
    def clean(_: Context) -> None:
        return None

    return endpoints


def test_workflows_declare_schedules() -> None:
    digest, clean = shop().scheduled()
    assert (digest.name, digest.path, clean.name, clean.path) == (
        "digest",
        "reports/digest",
        "hourly-cleanup",
        "reports/cleanup",
    )
    assert digest.times == Cron("0 8 * * *", tz="Europe/Berlin", payload={"of": "sales"})


def test_a_step_has_no_schedule() -> None:
    with pytest.raises(TypeError, match="schedule: there is no such option"):

        @step(schedule=Every(60))  # type: ignore[call-overload]
        def mail() -> None:
            return None


@pytest.fixture
def cli(atomic_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Call_:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", re.sub(r"[^a-z0-9]", "-", request.node.name)[:60])

    def run(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["schedules", *arguments])
        assert result.exit_code == code, result.output
        return result

    return run


def test_what_is_declared_is_applied(cli: Call_, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "declaring_shop.py").write_text(
        "from sdk.test_schedules import shop\nreports = shop()\nother = 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    base = ("--base-url", "http://127.0.0.1:9")

    dry = json.loads(cli("apply", "declaring_shop:reports", *base, "--dry-run", "--json").stdout)
    assert [each["name"] for each in dry] == ["digest", "hourly-cleanup"]
    assert cli("list").stdout == "no schedules\n"
    cli("apply", "declaring_shop:reports", *base)
    [digest, cleanup] = json.loads(cli("list", "--json").stdout)
    assert digest["start"]["stepInvokeUrl"] == "http://127.0.0.1:9/reports/digest"
    assert (digest["start"]["payload"], cleanup["every"]) == ({"of": "sales"}, 3_600_000)
    assert cleanup["start"]["workflowName"] == "cleanup"
    for wrong in ("declaring_shop:other", "declaring_shop:none", "no_such_module:x"):
        cli("apply", wrong, *base, code=1)


def test_a_schedule_from_the_command_line(cli: Call_, endpoint: Answering) -> None:
    url = f"{endpoint.url}/digest"
    put = cli(
        "put", "digest", "digest", url, "--cron", "0 12 * * *", "--tz", "UTC", "--payload", "[1]"
    ).stdout
    assert "0 started, 0 skipped, 0 missed" in put
    assert cli("next", "digest", "--count", "1").stdout.endswith("T12:00:00.000Z\n")
    assert "paused" in cli("pause", "digest", "--note", "why").stdout
    assert "paused why" in cli("show", "digest").stdout
    cli("resume", "digest")
    assert "was started" in cli("trigger", "digest", "--key", "k").stdout
    assert "exists" in cli("trigger", "digest", "--key", "k").stdout
    backfill = ("backfill", "digest", "--from", "2020-02-28T00:00:00Z", "--to", "2020-03-01T00:00:00Z")
    assert cli(*backfill, "--dry-run").stdout.count("not started") == 2
    assert cli(*backfill).stdout.endswith("2 started, 0 existed\n")
    assert cli(*backfill, "--dry-run").stdout.endswith("exists\n0 started, 2 existed\n")
    assert cli("delete", "digest").stdout == "digest is deleted\n"
    cli("show", "digest", code=1)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--every", "1h", "--cron", "@daily"),
        ("--every", "1h", "--tz", "UTC"),
        ("--every", "1x"),
        ("--at", "tomorrow"),
    ],
)
def test_wrong_options_are_refused(cli: Call_, options: tuple[str, ...]) -> None:
    cli("put", "x", "x", "http://127.0.0.1:9", *options, code=2)


def test_a_handler_is_told_the_time(atomic_url: str, call: Call_) -> None:
    endpoints = Endpoints(app := Flask("told"))
    told: list[tuple[datetime | None, datetime | None]] = []

    @endpoints.workflow
    def tell(_: Context, call: Call) -> None:
        told.append((call.scheduled_at, call.last_scheduled_at))

    from threading import Thread

    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        call("put", "tell", Every(1), "tell", f"http://127.0.0.1:{server.port}/tell")
        until = time.monotonic() + 30
        while len(told) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        call("delete", "tell")
    finally:
        server.shutdown()
    (first, nothing), (second, before) = told[:2]
    assert nothing is None
    assert first is not None
    assert second == first + timedelta(seconds=1)
    assert before == first
