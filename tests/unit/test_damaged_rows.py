"""A row whose bytes have changed on the disk: what lists, backups, restores and starts say about it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner

from atomic.adapters.sqlite import row_check
from atomic.adapters.sqlite.store import SqliteStepStore
from atomic.application.blobs import stored_apart
from atomic.application.cause_query import CauseQuery
from atomic.application.ports import StoreUnavailable
from atomic.application.run_query import RunQuery
from atomic.cli.main import main
from atomic.domain.causes import Cause
from atomic.domain.steps import Step
from atomic.entrypoints.embedded.backends import open_backend
from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.embedded.wiring import wired
from atomic.protocol import keys
from atomic.protocol.enums import Status
from contract.builders import a_root, a_spec, settled

T = TypeVar("T")


def in_store(directory: Path, work: Callable[[SqliteStepStore], Awaitable[T]]) -> T:
    async def body() -> T:
        store = await SqliteStepStore.open(directory / "atomic.db", on_fatal=pytest.fail)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(body())


def marker(key: str) -> bytes:
    return f'"MARKER-{key}-"'.encode()


def filled(directory: Path, *runs: str) -> dict[str, Step]:
    """A data directory with these runs; those whose key begins with "live" have not ended."""
    directory.mkdir()

    async def write(store: SqliteStepStore) -> dict[str, Step]:
        steps = {}
        for number, key in enumerate(runs):
            root = a_root(a_spec(key=key, payload=marker(key)), at_ms=1_000 + number)
            await store.create(root)
            if not key.startswith("live"):
                await store.replace(settled(root, 2_000), 1)
            steps[key] = root
        return steps

    return in_store(directory, write)


def damage(directory: Path, text: bytes) -> None:
    """Change one byte of this text in the file."""
    path = directory / "atomic.db"
    content = path.read_bytes()
    assert content.count(text) == 1
    path.write_bytes(content.replace(text, text.replace(b"MARKER", b"MARKES")))


def said(*command: str | Path, code: int) -> str:
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == code, result.output
    return result.stderr


def served(directory: Path) -> None:
    """Start and stop a server. Raises what `atomic serve` prints."""

    async def serve() -> None:
        settings = ServerSettings(data_dir=directory, dev=True)
        async with AsyncExitStack() as opened:
            backend = await opened.enter_async_context(open_backend(settings, on_fatal=pytest.fail))
            server = await opened.enter_async_context(wired(settings, backend))
            await server.recover()

    asyncio.run(serve())


def test_a_list_leaves_a_damaged_row_out_and_its_pages_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    steps = filled(data, "list-a", "list-b", "list-c", "list-d", "list-e")
    for key in ("list-b", "list-d"):
        damage(data, marker(key))

    async def look(store: SqliteStepStore) -> list[str]:
        found, after = [], None
        while True:
            page = await store.list(RunQuery(client_id="acme", limit=1, after=after))
            found += [step.spec.idempotency_key for step in page]
            after = page.after
            if after is None:
                break
        for _ in range(2):
            assert len(await store.list(RunQuery(client_id="acme"))) == 3
            with pytest.raises(StoreUnavailable, match="is damaged"):
                await store.get(steps["list-b"].id)
        return found

    with caplog.at_level(logging.ERROR, "atomic.store"):
        assert in_store(data, look) == ["list-e", "list-c", "list-a"]
    assert sorted(record.__dict__["stepId"] for record in caplog.records) == sorted(
        steps[key].id for key in ("list-b", "list-d")
    )


def test_causes_are_listed_without_damaged_samples(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()

    async def write(store: SqliteStepStore) -> None:
        for number in range(3):
            spec = a_spec(key=f"{number}", payload=marker(f"{number}"))
            root = a_root(spec, at_ms=1_000 + number, status=Status.FAILED)
            cause = Cause(step_id=root.id, workflow_name=spec.workflow_name, said="no")
            await store.create(replace(root, cause=cause))

    in_store(data, write)
    damage(data, marker("1"))
    query = CauseQuery(client_id="acme", limit=10)
    [group] = in_store(data, lambda store: store.causes(query)).groups
    assert group.count == 3
    assert [step.spec.idempotency_key for step in group.samples] == ["2", "0"]


@pytest.mark.parametrize("key", ["ended", "live"])
def test_a_damaged_row_is_not_backed_up_nor_restored(tmp_path: Path, key: str) -> None:
    data, copy, target = tmp_path / "data", tmp_path / "copy", tmp_path / "target"
    steps = filled(data, "ended", "live", "other")
    said("backup", copy, "--data-dir", data, code=0)
    damage(copy, marker(key))
    refused = said("restore", copy, "--data-dir", target, code=1)
    assert f"{copy / 'atomic.db'} is damaged" in refused
    assert steps[key].id in refused
    assert "--partial" in refused
    assert not target.exists()
    refused = said("backup", tmp_path / "again", "--data-dir", copy, code=1)
    assert f"{copy / 'atomic.db'} is damaged" in refused
    assert steps[key].id in refused
    assert not (tmp_path / "again").exists()


def test_a_restore_in_part_leaves_out_the_runs_of_damaged_rows(tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "target"
    steps = filled(data, "ended", "live", "other")
    damage(data, marker("live"))
    left_out = said("restore", data, "--data-dir", target, "--partial", code=0)
    assert "1 runs are left out" in left_out
    assert keys.run_of(steps["live"].id) in left_out
    said("backup", tmp_path / "copy", "--data-dir", target, code=0)
    served(target)
    assert b"MARKES" not in (target / "atomic.db").read_bytes()

    async def found(store: SqliteStepStore) -> list[str]:
        return [step.spec.idempotency_key for step in await store.list(RunQuery(client_id="acme"))]

    assert in_store(target, found) == ["other", "ended"]


def test_a_server_starts_over_a_damaged_row_of_a_run_that_has_ended_and_not_of_a_live_one(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    steps = filled(data, "ended", "live")
    damage(data, marker("ended"))
    served(data)
    damage(data, marker("live"))
    with pytest.raises(
        OSError, match=rf"cannot take over.*{steps['live'].id}\. Restore .*--partial"
    ) as told:
        served(data)
    assert steps["ended"].id not in str(told.value)


def test_a_damaged_large_text_is_not_backed_up(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    text = marker("large")[:-1] + b"x" * 9_000 + b'"'

    async def write(store: SqliteStepStore) -> Step:
        root = await stored_apart(store, a_root(a_spec(payload=text)))
        await store.create(root)
        return root

    root = in_store(data, write)
    said("backup", tmp_path / "whole", "--data-dir", data, code=0)
    damage(data, b"MARKER-large-")
    assert root.id in said("backup", tmp_path / "copy", "--data-dir", data, code=1)
    assert keys.run_of(root.id) in said(
        "restore", data, "--data-dir", tmp_path / "target", "--partial", code=0
    )


def test_the_first_ten_are_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    runs = [f"run-{number:02}" for number in range(12)]
    filled(data, *runs)
    for run in runs:
        damage(data, marker(run))
    refused = said("backup", tmp_path / "copy", "--data-dir", data, code=1)
    assert refused.count("run_") == row_check.NAMED_MAX
    assert " and 2 more" in refused
