"""Outside interference with the server's process and disk, and what its callers see."""

import asyncio
import os
import random
import resource
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import apsw
import pytest

from atomic.adapters.sqlite.in_place import FilesInPlace
from reliability.observations import Application, rows_of
from reliability.refusals import refusal
from reliability.small_disk import SmallDisk
from scenarios.embedded_runtime import AtomicServer, create_client, kill_in_call, runtime_on
from scenarios.runtime import Runtime, answer_ok

BLOCK = "x" * 100_000


def first_output(data_dir: Path) -> tuple[bool, str]:
    """Whether a server on a full disk has ended, and its output. It runs if its log has enough room."""
    try:
        return True, refusal(data_dir)
    except subprocess.TimeoutExpired as serving:
        return False, str(serving.stderr)


def document(url: str, key: str, **more: Any) -> dict[str, Any]:
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, **more}


def test_a_server_that_was_paused_for_three_seconds_answers_normally(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> Application:
        async with runtime_on(server) as runtime:
            application = Application(runtime, seed)
            callers = [asyncio.create_task(application.call(f"k{n}", n * 0.02)) for n in range(40)]
            await asyncio.sleep(0.4)
            server.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(3)
            server.process.send_signal(signal.SIGCONT)
            await asyncio.wait_for(asyncio.gather(*callers), 30)
            for key in application.observed.told:
                await application.ask_again(key)
            return application

    application = asyncio.run(main())
    assert server.stop() == 0
    rows = asyncio.run(rows_of(server.data_dir, application.client))
    assert len(application.observed.told) == 40
    assert application.observed.problems(rows) == []


def test_a_full_disk_refuses_and_works_again_when_there_is_room(tmp_path: Path) -> None:
    with SmallDisk.mounted(tmp_path / "disk", "4m") as disk:
        server = AtomicServer(disk.directory)
        server.start()
        asyncio.run(fill_and_make_room(server, disk))
        assert server.stop() == 0


async def fill_and_make_room(server: AtomicServer, disk: SmallDisk) -> None:
    async with runtime_on(server) as runtime:
        url = runtime.endpoint("/ok", answer_ok)
        acknowledged = await post_until_full(runtime, url)
        assert len(acknowledged) > 5
        assert server.process.poll() is None
        assert (await runtime.request("GET", "/health")).status == 200
        server.kill()
        ended, said = await asyncio.to_thread(first_output, server.data_dir)
        wanted = ("disk is full", "No space left") if ended else ("listening",)
        assert any(words in said for words in wanted), said
        disk.remount("size=64m")
        await asyncio.to_thread(server.start)
        # The refused start can be posted again, and so can any other.
        for key in (f"k{len(acknowledged)}", "new"):
            assert (await runtime.start(document(url, key, payload=BLOCK))).status == 200
        # An outcome that could not be written is written after the lease, or at once by the next server.
        server.kill()
        await asyncio.to_thread(server.start)
        for key in acknowledged:
            reply = await runtime.start(document(url, key, payload=BLOCK))
            assert (reply.status, reply.json["response"]) == (200, {"ok": True})
        assert {call.call.json["idempotencyKey"] for call in runtime.calls(url)} >= set(acknowledged)


async def post_until_full(runtime: Runtime, url: str) -> list[str]:
    """Post runs until the first refusal; return the acknowledged keys."""
    acknowledged: list[str] = []
    while len(acknowledged) < 200:
        key = f"k{len(acknowledged)}"
        reply = await runtime.start(document(url, key, payload=BLOCK), Prefer="respond-async")
        if reply.status == 503:
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.headers["retry-after"] == "1"
            assert "same key is never doubled" in reply.json["detail"]
            return acknowledged
        assert reply.status in {200, 202}, reply.body
        acknowledged.append(key)
    raise AssertionError("the disk did not fill")


def test_a_read_only_disk_is_refused_with_the_cure(tmp_path: Path) -> None:
    with SmallDisk.mounted(tmp_path / "disk", "4m") as disk:
        disk.remount("ro")
        said = refusal(disk.directory / "data")
    assert "cannot write to the data directory" in said
    assert "Read-only file system" in said
    assert "--data-dir" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_rights_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    assert "cannot write to the data directory" in refusal(tmp_path / "data")


def test_a_data_directory_that_cannot_be_made_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    assert "cannot write to the data directory" in refusal(tmp_path / "file" / "data")


def test_a_disk_that_fails_ends_the_server_with_70_and_loses_nothing(tmp_path: Path) -> None:
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> list[str]:
        async with runtime_on(server) as runtime:
            url = runtime.endpoint("/ok", answer_ok)
            room = 3_000_000
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (room, room))
            kept = await post_until_full(runtime, url)
            # systemd restarts a service after this exit code, but not after a signal that it did not send.
            assert await asyncio.to_thread(server.process.wait, 20) == 70
            await asyncio.to_thread(server.start)
            replies = [await runtime.start(document(url, key, payload=BLOCK)) for key in kept]
            assert {reply.status for reply in replies} == {200}
            return kept

    assert len(asyncio.run(main())) > 5
    assert "the store is broken, the server ends: IOError" in server.log()
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["", "lock", "atomic.db", "atomic.db-wal", "clients.db"])
@pytest.mark.parametrize("is_moved", [False, True])
def test_a_server_whose_files_are_taken_away_ends_with_70(
    tmp_path: Path, name: str, *, is_moved: bool
) -> None:
    server = AtomicServer(tmp_path / "data", dev=name != "clients.db")
    server.start()
    taken = server.data_dir / name if name else server.data_dir
    if is_moved:
        taken.rename(tmp_path / "elsewhere")
    elif name:
        taken.unlink()
    else:
        shutil.rmtree(taken)
    assert server.process.wait(10) == 70
    assert f"{taken} was moved, removed or replaced" in server.log() or not name


def test_a_replaced_file_is_detected(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("kept", "replaced", "never-there")]
    for path in paths[:2]:
        path.write_text("")
    files = FilesInPlace(paths)
    assert files.displaced() is None
    (tmp_path / "other").write_text("")
    (tmp_path / "other").rename(paths[1])
    assert files.displaced() == paths[1]


def test_a_restored_directory_without_its_pepper_is_refused(tmp_path: Path) -> None:
    create_client(tmp_path / "data", "acme", "--base-url", "http://127.0.0.1:1/")
    (tmp_path / "data" / "key-pepper").unlink()
    said = refusal(tmp_path / "data", "--log-level", "info")
    assert "key-pepper is missing: the API keys of acme were made with the pepper" in said
    assert "atomic clients rotate" in said


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """The data directory of a server that was killed while a step was running."""
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> None:
        async with runtime_on(server) as runtime:
            called = asyncio.Event()

            async def wait(_: Any) -> Any:
                called.set()
                await asyncio.sleep(60)

            await kill_in_call(server, runtime, document(runtime.endpoint("/hang", wait), "k"), called)

    asyncio.run(main())
    return server.data_dir


def test_a_server_does_not_start_on_a_damaged_file_and_does_not_touch_it(left: Path) -> None:
    log = left / "atomic.db-wal"
    content = bytearray(log.read_bytes())
    content[5_000] ^= 1
    log.write_bytes(content)
    before = {name: (left / name).read_bytes() for name in ("atomic.db", "atomic.db-wal")}
    assert "atomic.db-wal is damaged" in refusal(left)
    assert {name: (left / name).read_bytes() for name in before} == before


def test_a_server_does_not_start_over_a_live_row_that_is_damaged(left: Path) -> None:
    connection = apsw.Connection(str(left / "atomic.db"))
    connection.execute("UPDATE steps SET payload = x'31'")
    connection.close()
    said = refusal(left)
    assert "cannot take over the steps of the last server" in said
    assert "is damaged" in said
