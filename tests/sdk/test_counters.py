"""What the clients and the command line say of workflows and their runs."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from answering import Answering
from atomic import AsyncClient, Client, InvalidRequestError
from atomic.cli.main import main as main_command


@pytest.fixture(autouse=True)
def here(atomic_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)


@pytest.fixture
def url() -> Iterator[str]:
    endpoint = Answering(lambda _path, _call: (200, b'"done"'))
    yield f"{endpoint.url}/work"
    endpoint.close()


def test_both_clients_count_runs(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "counted")
    day = timedelta(days=1)
    with Client() as client:
        assert client.workflows() == client.counters() == []
        client.start("order", url, key="now")
        client.start("order", url, key="later", delay=3600, timeout=0)
        client.start("report", url, key="now")
        found = client.workflows()
        assert [(each.workflow_name, each.started, each.succeeded, each.live) for each in found] == [
            ("order", 2, 1, 1),
            ("report", 1, 1, 0),
        ]
        assert all(each.duration_ms_p50 is not None and each.last_start_at for each in found)
        counters = client.counters(since=datetime.now(UTC) - day)
        assert sum(each.started for each in counters) == 3
        assert all(each.counted_at is None for each in counters)
        # The runs may have been started in two hours.
        reports = client.counters(workflow_name="report")
        assert [each.started for each in reports] == [1]
        assert client.counters(since=datetime.now(UTC) - 2 * day, before=datetime.now(UTC) - day) == []
        [whole] = client.counters(since=datetime.now(UTC) - day, every=31 * day, all_workflows=True)
        assert (whole.workflow_name, whole.started, whole.succeeded) == (None, 3, 2)
        assert sum(each.started for each in client.workflows(since=datetime.now(UTC) - day)) == 3
        minutes = client.counters(every=timedelta(minutes=5), all_workflows=True)
        assert sum(each.started for each in minutes) == 3
        for each in minutes:
            began = datetime.fromisoformat(each.began_at)
            assert (each.span_ms, began.minute % 5, began.second) == (300_000, 0, 0)
        assert {each.span_ms for each in counters} == {3_600_000}
        minutes = client.counters(every=60, since=datetime.now(UTC) - 2 * day)
        assert {each.span_ms for each in minutes} == {3_600_000}
        with pytest.raises(InvalidRequestError, match="every: use whole hours, or minutes"):
            client.counters(every=5000)
        with pytest.raises(InvalidRequestError, match="since: use a datetime with a time zone"):
            client.counters(since=datetime(2026, 1, 1))  # noqa: DTZ001 - this is what is refused
        with pytest.raises(InvalidRequestError, match="to: "):
            client.counters(before=datetime.now(UTC) - 3 * day)

    async def main() -> None:
        async with AsyncClient() as client:
            assert await client.workflows() == found
            assert await client.counters() == counters

    asyncio.run(main())


def next_at(began: str, until: str) -> datetime:
    """The first such time of the day after the beginning."""
    hour, minute = map(int, until.split(":"))
    at = datetime.fromisoformat(f"{began}Z").replace(hour=hour, minute=minute)
    return at if at > datetime.fromisoformat(f"{began}Z") else at + timedelta(days=1)


def test_runs_are_counted_on_the_command_line(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "counted-cli")

    def run(*arguments: str) -> str:
        return CliRunner().invoke(main_command, arguments).output

    assert (run("workflows"), run("counters")) == ("no workflows\n", "no runs\n")
    with Client() as client:
        client.start("order", url, key="k")
    head, line = run("workflows").splitlines()
    assert head.split()[:3] == ["workflow", "started", "succeeded"]
    assert line.split()[:3] == ["order", "1", "1"]
    head, line = run("counters", "--from", "2020-01-01T00:00:00Z", "--workflow", "order").splitlines()
    assert head.startswith("from (UTC)")
    began, until, *rest = line.split()
    assert datetime.fromisoformat(f"{began}Z") + timedelta(hours=1) == next_at(began, until)
    assert rest[:3] == ["order", "1", "1"]
    _, line = run("counters", "--every", "744", "--all-workflows").splitlines()
    began, until, *rest = line.split()
    assert datetime.fromisoformat(until) - datetime.fromisoformat(began) == timedelta(days=31)
    assert rest[:3] == ["(all)", "1", "1"]
    _, line = run("counters", "--minutes", "1").splitlines()
    began, until, *rest = line.split()
    assert datetime.fromisoformat(f"{began}Z") + timedelta(minutes=1) == next_at(began, until)
    assert rest[:3] == ["order", "1", "1"]
    assert "use --every or --minutes, not both" in run("counters", "--minutes", "1", "--every", "1")
    assert "every: use whole hours, or minutes that divide an hour" in run("counters", "--minutes", "7")
    assert run("workflows", "--from", "2020-01-01T00:00:00Z").splitlines()[1].split()[:2] == ["order", "1"]
    assert json.loads(run("counters", "--json"))[0]["workflowName"] == "order"
