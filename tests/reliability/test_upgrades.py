"""A data directory that goes from an older version to this one, and what the older one says to it then.

`make upgrade-check FROM=v0.1.0` tries it with the server of another commit, which has to be in the clone.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import apsw
import pytest
from click.testing import CliRunner

from atomic.adapters.sqlite.client_store import CLIENTS
from atomic.adapters.sqlite.database import Schema
from atomic.adapters.sqlite.schema import STEPS
from atomic.cli.main import main
from reliability.promises import Load
from reliability.refusals import refusal
from scenarios.embedded_runtime import AtomicServer, create_client, free_port, runtime_on

REPO: Final = Path(__file__).parents[2]
FROM: Final = os.environ.get("UPGRADE_FROM")
RUNS: Final = 60
FILES: Final = {"atomic.db": STEPS, "clients.db": CLIENTS}


@pytest.mark.parametrize(("name", "schema"), FILES.items())
def test_a_newer_data_directory_is_refused_by_everything_that_reads_it_and_stays_as_it_is(
    tmp_path: Path, name: str, schema: Schema
) -> None:
    data_dir = tmp_path / "data"
    create_client(data_dir, "acme", "--base-url", "http://127.0.0.1:1/")
    server = AtomicServer(data_dir, dev=False)
    server.start()
    assert server.stop() == 0
    connection = apsw.Connection(str(data_dir / name))
    connection.pragma("user_version", len(schema.migrations) + 1)
    connection.pragma("wal_checkpoint(TRUNCATE)")
    connection.close()
    before = {file: (data_dir / file).read_bytes() for file in FILES}
    commands = [["backup", str(tmp_path / "copy"), "--data-dir", str(data_dir)]]
    if name == "clients.db":
        commands.append(["clients", "list", "--data-dir", str(data_dir)])
    said = [refusal(data_dir, "--allow-private")]
    for command in commands:
        ended = CliRunner().invoke(main, command)
        assert ended.exit_code == 1, command
        said.append(ended.stderr)
    for each in said:
        assert f"{data_dir / name} was written by a newer Atomic ({schema.name} schema" in each
        assert "start that version" in each
    assert {file: (data_dir / file).read_bytes() for file in FILES} == before
    assert not (tmp_path / "copy").exists()


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The package of the commit that was asked for."""
    if FROM is None:
        pytest.skip("needs another version: make upgrade-check FROM=COMMIT")
    packed = subprocess.run(
        ["git", "archive", FROM, "layers/atomic/atomic"], cwd=REPO, capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", tmp_path], input=packed, check=True)
    return tmp_path / "layers" / "atomic"


def schema_of(package: Path) -> list[int]:
    """The numbers of a version's schemas."""
    script = (
        "from atomic.adapters.sqlite import client_store, schema\n"
        "print(len(schema.STEPS.migrations), len(client_store.CLIENTS.migrations))"
    )
    environ = {**os.environ, "PYTHONPATH": str(package)}
    said = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True)
    return [int(number) for number in said.stdout.split()]


def test_an_older_data_directory_goes_on_and_its_copy_leads_back(
    tmp_path: Path, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas = [len(schema.migrations) for schema in FILES.values()]
    is_newer = schemas != schema_of(older)
    print(f"{FROM}: schemas {schema_of(older)}, now {schemas}")
    data_dir, copy, port = tmp_path / "data", tmp_path / "copy", free_port()
    monkeypatch.setenv("PYTHONPATH", str(older))
    key = create_client(data_dir, "alpha", "--base-url", f"http://127.0.0.1:{port}/app")
    server = AtomicServer(data_dir, dev=False)
    server.start()

    async def ask_all(load: Load) -> None:
        """Every promise is kept, and what has ended is not called again."""
        told = set(load.promises.told)
        load.called.clear()
        for run in list(load.promises.taken):
            await load.ask_again(run)
        assert load.problems == []
        assert not load.called & told

    async def body() -> None:
        async with runtime_on(server, client="alpha", keys={"alpha": key}, endpoint_port=port) as runtime:
            load = Load(runtime, seed=1)
            callers = [asyncio.create_task(load.call(n, n * 0.02)) for n in range(RUNS)]
            await asyncio.sleep(RUNS * 0.02)
            promised = load.promises.copy()
            command = [sys.executable, "-m", "atomic.cli", "backup", str(copy), "--data-dir", str(data_dir)]
            await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
            server.kill()
            monkeypatch.delenv("PYTHONPATH")
            await asyncio.to_thread(server.start)
            await asyncio.wait_for(asyncio.gather(*callers), 60)
            await ask_all(load)
            assert len(load.promises.taken) == RUNS
            assert server.stop() == 0
            monkeypatch.setenv("PYTHONPATH", str(older))
            if is_newer:
                said = await asyncio.to_thread(refusal, data_dir, "--allow-private")
                assert "was written by a newer Atomic" in said
            back = AtomicServer(copy, dev=False, port=server.port)
            await asyncio.to_thread(back.start)
            load.promises = promised
            await ask_all(load)
            assert len(load.promises.told) > 0
            assert back.stop() == 0

    asyncio.run(body())
