"""Keeps a data directory of this version, which later versions have to open.

    cd tests && python -m upgrade.keep      (`make keep-data`)

The archive has the directory as a killed server leaves it, and what that server said of each run.
"""

import asyncio
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

from atomic import __version__
from scenarios.embedded_runtime import AtomicServer, create_client
from scenarios.runtime import Runtime
from upgrade.application import CLIENT, STARTS, URL, Application, application_on, server_on

SAID: Final = "said.json"
DATA: Final = "data"
# What tells no later version anything: the index of the log, and the process that had the directory.
_LEFT_OUT: Final = ("-shm", "lock")
_AFTER_START: Final = {
    "redriven": ("failed", "/steps/{step}/redrive", None),
    "dismissed": ("failed", "/runs/{run}/dismiss", {"note": "known"}),
    "cancelled": ("pending", "/runs/{run}/cancel", None),
    "paused": ("pending", "/runs/{run}/pause", {"note": "holidays"}),
}
_SETTLED: Final = {
    "succeeded": "succeeded",
    "large": "succeeded",
    "with-steps": "succeeded",
    "redriven": "succeeded",
    "failed": "failed",
    "dismissed": "failed",
    "cancelled": "cancelled",
    "waiting": "waiting",
}


def main(archive: Path) -> None:
    """Make the directory in a temporary place, and keep it."""
    with tempfile.TemporaryDirectory(prefix="atomic-keep-") as name:
        data = Path(name) / DATA
        data.mkdir()
        key = create_client(data, CLIENT, "--base-url", URL)
        server = server_on(data)
        server.start()
        try:
            said = asyncio.run(_made(server))
        finally:
            server.kill()
        _pack(archive, data, json.dumps({"key": key, **said}, indent=1).encode())


async def _made(server: AtomicServer) -> dict[str, Any]:
    async with application_on(server) as application:
        runtime = application.runtime
        await _put(runtime)
        runs = {name: await _started(application, name) for name in STARTS}
        for name, run in runs.items():
            if name in _SETTLED:
                await runtime.step_in(run["id"], _SETTLED[name])
        return {
            "runs": {name: (await runtime.get(f"/runs/{run['runId']}")).json for name, run in runs.items()},
            "schedules": (await runtime.get("/schedules")).json,
            "hooks": (await runtime.get("/hooks")).json,
            "retentions": (await runtime.get("/workflow-retentions")).json,
        }


async def _put(runtime: Runtime) -> None:
    """What is no run: a schedule, a hook, a retention, a paused workflow."""
    start = {"workflowName": "digest", "stepInvokeUrl": f"{URL}/ok", "retry": {"count": 0}}
    for target, document in (
        ("schedules/daily", {"cron": "0 8 * * *", "start": start}),
        ("hooks/told", {"url": f"{URL}/hook", "on": ["run.cancelled"], "workflowName": "late"}),
        ("workflows/order/retention", {"days": 20}),
    ):
        body = json.dumps(document).encode()
        reply = await runtime.request("PUT", f"/{CLIENT}/{target}", body=body)
        assert reply.status in {200, 201}, reply.body
    reply = await runtime.post("/workflows/held/pause", {"note": "stocktaking"})
    assert reply.status == 200, reply.body


async def _started(application: Application, name: str) -> dict[str, Any]:
    runtime = application.runtime
    reply = await runtime.start(STARTS[name], Prefer="respond-async")
    assert reply.status in {200, 202}, reply.body
    run: dict[str, Any] = reply.json
    if name in _AFTER_START:
        status, target, document = _AFTER_START[name]
        await runtime.step_in(run["id"], status)
        acted = await runtime.post(target.format(step=run["id"], run=run["runId"]), document)
        assert acted.status == 200, acted.body
    if name == "running":
        await asyncio.wait_for(application.slow.entered.wait(), 10)
    return run


def _pack(archive: Path, data: Path, said: bytes) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=9) as packed:
        for file in sorted(data.iterdir()):
            if not file.name.endswith(_LEFT_OUT):
                packed.add(file, f"{DATA}/{file.name}", filter=_without_owner)
        entry = tarfile.TarInfo(SAID)
        entry.size = len(said)
        packed.addfile(_without_owner(entry), io.BytesIO(said))


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main(Path(__file__).parent / f"data-{__version__}.tar.gz")
