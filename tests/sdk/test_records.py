"""What the clients and the command line read that is kept beside the runs."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from answering import Answering
from atomic import AsyncClient, Client, InvalidRequestError, NotFoundError, RefusedError
from atomic.cli.main import main as main_command

RUN = "run_" + 32 * "e"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def here(atomic_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)


def test_the_audit_log_is_listed_by_both_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "audited")
    with Client() as client:
        for act in (client.cancel, client.resume, client.resume):
            with pytest.raises(NotFoundError):
                act(RUN)
        acts = client.audit(since=LONG_AGO)
        assert [act.action for act in acts] == ["resumeRun", "resumeRun", "cancelRun"]
        assert (acts[0].target, acts[0].by, acts[0].by_kind) == ({"runId": RUN}, None, "anybody")
        assert (acts[0].source, acts[0].status) == ("127.0.0.1", 404)
        assert client.audit(limit=1) == acts[:1]
        assert client.audit(action="cancelRun") == acts[2:]
        assert client.audit(by="k1") == client.audit(before=LONG_AGO) == []
        with pytest.raises(InvalidRequestError, match="since: use a datetime with a time zone"):
            client.audit(since=LONG_AGO.replace(tzinfo=None))
        with pytest.raises(InvalidRequestError, match="action"):
            client.audit(action="cancel run")

    async def main() -> None:
        async with AsyncClient() as client:
            assert await client.audit(since=LONG_AGO, before=datetime.now(UTC) + timedelta(days=1)) == acts

    asyncio.run(main())


def test_the_audit_log_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "audited-cli")

    def run(*arguments: str) -> str:
        return CliRunner().invoke(main_command, arguments).output

    assert run("audit") == "nothing\n"
    run("cancel", RUN)
    line = run("audit", "--action", "cancelRun", "--from", "2020-01-01T00:00:00Z")
    assert line.endswith(f"cancelRun {RUN}  404  by anybody from 127.0.0.1\n")
    assert '"action": "cancelRun"' in run("audit", "--json")


@pytest.fixture
def url() -> Iterator[str]:
    endpoint = Answering(lambda _path, _call: (200, b'"done"'))
    yield f"{endpoint.url}/work"
    endpoint.close()


def test_runs_are_erased_by_both_clients(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "erased")
    with Client() as client:
        live = client.start("w", url, key="live", delay=3600, timeout=0)
        with pytest.raises(RefusedError) as refused:
            client.erase(live.run_id)
        assert refused.value.code == "run-live"
        one, two = (client.start("w", url, key=key) for key in ("1", "2"))
        client.erase(one.run_id)
        with pytest.raises(NotFoundError):
            client.erase(one.run_id)

        async def main() -> None:
            async with AsyncClient() as asynchronous:
                await asynchronous.erase(two.run_id)

        asyncio.run(main())
        assert [run.id for run in client.runs()] == [live.id]
        three = client.start("w", url, key="3")
    erased = CliRunner().invoke(main_command, ["runs", "erase", three.run_id])
    assert erased.output == f"{three.run_id} is erased\n"


def test_runs_are_exported_by_both_clients_and_to_a_file(
    monkeypatch: pytest.MonkeyPatch, url: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "exported")
    with Client() as client:
        runs = [client.start("w", url, {"n": n}, key=str(n), tags={"number": str(n)}) for n in range(3)]
        found = [*client.export()]
        assert [step.id for step in found] == [run.id for run in reversed(runs)]
        assert [step.payload for step in found] == [{"n": 2}, {"n": 1}, {"n": 0}]
        assert [step.id for step in client.export(status="succeeded", key_prefix="1")] == [runs[1].id]
        for wanted in ({"tag": "number:1"}, {"tag": ["number:1"], "key_contains": "1"}):
            assert [step.id for step in client.export(**wanted)] == [runs[1].id]
        with pytest.raises(InvalidRequestError):
            next(client.export(created_after="yesterday"))

        async def main() -> None:
            async with AsyncClient() as asynchronous:
                assert [step async for step in asynchronous.export()] == found

        asyncio.run(main())
    file = tmp_path / "runs.jsonl"
    written = CliRunner().invoke(main_command, ["runs", "export", "--out", str(file)])
    assert written.output == f"3 steps are in {file}\n"
    lines = file.read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [step.id for step in found]
    printed = CliRunner().invoke(main_command, ["runs", "export", "--out", "-", "--tag", "number:1"])
    assert json.loads(printed.output)["id"] == runs[1].id
    refused = CliRunner().invoke(
        main_command, ["runs", "export", "--out", str(tmp_path / "x"), "--created-after", "yesterday"]
    )
    assert (refused.exit_code, [*tmp_path.iterdir()]) == (1, [file])


def test_retentions_of_workflows_are_set_by_both_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "kept")
    with Client() as client:
        servers = client.workflow_state("heart/beat").retention_days
        assert client.retentions() == []
        beat = client.set_retention("heart/beat", 1)
        assert (beat.workflow_name, beat.retention_days, beat.paused) == ("heart/beat", 1, None)
        assert client.retentions() == [beat]
        with pytest.raises(InvalidRequestError, match=f"days: use at most {servers}"):
            client.set_retention("heart/beat", servers + 1)

    async def main() -> None:
        async with AsyncClient() as asynchronous:
            assert (await asynchronous.set_retention("report", 9)).retention_days == 9
            assert [each.retention_days for each in await asynchronous.retentions()] == [1, 9]
            assert (await asynchronous.clear_retention("heart/beat")).retention_days == servers

    asyncio.run(main())


def test_retentions_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "kept-cli")

    def run(*arguments: str) -> str:
        return CliRunner().invoke(main_command, ["retention", *arguments]).output

    assert run("list") == "no workflow has a retention of its own\n"
    assert run("set", "beat", "1") == "beat is kept for 1 day\n"
    assert run("set", "report", "9") == "report is kept for 9 days\n"
    assert run("list") == "beat is kept for 1 day\nreport is kept for 9 days\n"
    assert run("clear", "beat") == "beat is kept for 30 days\n"
    assert json.loads(run("list", "--json"))[0]["retentionDays"] == 9
