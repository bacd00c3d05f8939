"""A backup of a server under load, restored elsewhere, has everything acknowledged before it."""

import asyncio
import itertools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from scenarios.embedded_runtime import AtomicServer, LockedServer, runtime_on
from scenarios.runtime import Runtime, answer_ok

CALLERS = 20


class Load:
    """Callers that start steps one after the other, and record the answers."""

    def __init__(self, runtime: Runtime, url: str, slow_url: str) -> None:
        self._runtime = runtime
        self._urls = (url, slow_url)
        self._numbers = itertools.count()
        self.done: dict[str, Any] = {}
        self.taken: list[str] = []

    def document(self, key: str) -> dict[str, Any]:
        kind = "late" if key.startswith("late") else "now"
        return {
            "workflowName": "w", "stepInvokeUrl": self._urls[kind == "late"], "idempotencyKey": key,
            "payload": key * 100,
        }  # fmt: skip

    async def call(self) -> None:
        while True:
            number = next(self._numbers)
            if number % 5:
                reply = await self._runtime.start(self.document(f"now-{number}"))
                assert reply.status == 200, reply.body
                self.done[f"now-{number}"] = reply.json["finishedAt"]
            else:
                reply = await self._runtime.start(self.document(f"late-{number}"), Prefer="respond-async")
                assert reply.status == 202, reply.body
                self.taken.append(f"late-{number}")


async def late(call: Any) -> Any:
    await asyncio.sleep(0.5)
    return await answer_ok(call)


def test_what_was_acknowledged_before_a_backup_is_there_after_a_restore(tmp_path: Path) -> None:
    locked = LockedServer(tmp_path / "data")
    locked.server.start()
    copy = tmp_path / "copy"

    async def fill() -> Load:
        async with locked.runtime() as runtime:
            load = Load(
                runtime, runtime.endpoint("/app/now", answer_ok), runtime.endpoint("/app/late", late)
            )
            callers = [asyncio.create_task(load.call()) for _ in range(CALLERS)]
            await asyncio.sleep(1.5)
            before = len(load.done)
            done, taken = dict(load.done), list(load.taken)
            command = [sys.executable, "-m", "atomic.cli", "backup", str(copy)]
            command += ["--data-dir", str(locked.server.data_dir)]
            ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
            assert ended.returncode == 0, ended.stderr
            assert len(load.done) > before + CALLERS, "others go on meanwhile"
            locked.server.kill()
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            load.done, load.taken = done, taken
            return load

    load = asyncio.run(fill())
    print(f"{len(load.done)} were done and {len(load.taken)} were taken before the backup")
    assert len(load.done) > 50
    assert len(load.taken) > 10
    shutil.rmtree(locked.server.data_dir)
    restored = AtomicServer(copy, dev=False)
    restored.start()

    async def ask() -> None:
        keys, port = locked.keys, locked.endpoint_port
        async with runtime_on(restored, client="alpha", keys=keys, endpoint_port=port) as runtime:
            runtime.endpoint("/app/now", answer_ok)
            runtime.endpoint("/app/late", late)
            for key, finished_at in load.done.items():
                reply = await runtime.start(load.document(key))
                assert (reply.status, reply.json["finishedAt"]) == (200, finished_at)
                assert reply.headers["idempotency-replayed"] == "true"
            for key in load.taken:
                assert (await runtime.start(load.document(key))).status == 200
            assert not [call for call in runtime.seen if call.call.json["idempotencyKey"] in load.done]

    asyncio.run(ask())
    assert restored.stop() == 0
