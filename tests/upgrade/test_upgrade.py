"""What an earlier release left, opened by this one: each run is there, and goes on.

Each release keeps a data directory (`make keep-data`) as a killed server leaves it.
"""

import asyncio
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from scenarios.embedded_runtime import AtomicServer, runtime_on
from scenarios.runtime import Runtime
from scenarios.starts import assert_problem
from upgrade.application import CLIENT, ENDED, MOVING, STARTS, Application, application_on, server_on
from upgrade.keep import DATA, SAID

KEPT: Final = sorted(Path(__file__).parent.glob("data-*.tar.gz"))
CHANGELOG: Final = Path(__file__).parents[2] / "CHANGELOG.md"
# What never changes of a run that has begun.
GIVEN: Final = (
    "id",
    "workflowName",
    "stepInvokeUrl",
    "idempotencyKey",
    "createdAt",
    "payload",
    "retry",
    "flow",
)
# What a version makes of the rows, and not what is in them.
DERIVED: Final = frozenset({"revision", "estimatedCostUsd"})


@dataclass(frozen=True, slots=True)
class Left:
    """What a release left: its directory, and what it said of each run."""

    data: Path
    said: dict[str, Any]

    def id_of(self, name: str) -> str:
        """The run's root step."""
        step_id: str = self.said["runs"][name]["root"]["id"]
        return step_id


def opened(archive: Path, folder: Path) -> Left:
    """Unpack what was left."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return Left(folder / DATA, json.loads((folder / SAID).read_text()))


def differences(then: Any, now: Any, at: str = "") -> list[str]:
    """Where `now` lacks something of `then`, or says something else. It may say more."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            found
            for name, value in then.items()
            if name not in DERIVED
            for found in differences(value, now.get(name, "nothing"), f"{at}.{name}")
        ]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            found
            for index, (one, other) in enumerate(zip(then, now, strict=True))
            for found in differences(one, other, f"{at}[{index}]")
        ]
    return [] if then == now else [f"{at}: was {then!r}, is {now!r}"]


def test_every_release_has_kept_its_data() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG.read_text(), re.MULTILINE)
    kept = {file.name.removeprefix("data-").removesuffix(".tar.gz") for file in KEPT}
    assert set(released) <= kept
    assert kept


@pytest.mark.parametrize("archive", KEPT, ids=lambda file: file.name)
def test_it_is_opened_and_goes_on(archive: Path, tmp_path: Path) -> None:
    left = opened(archive, tmp_path)
    server = server_on(left.data)
    server.start()
    try:
        asyncio.run(_all_is_there_and_goes_on(server, left))
    finally:
        if server.process.poll() is None:
            assert server.stop() == 0
    locked = AtomicServer(left.data, dev=False)
    locked.start()
    try:
        asyncio.run(_the_key_is_accepted(locked, left.said["key"]))
    finally:
        assert locked.stop() == 0


async def _all_is_there_and_goes_on(server: AtomicServer, left: Left) -> None:
    async with application_on(server) as application:
        runtime = application.runtime
        await _is_as_it_was(runtime, left.said)
        await _repeats_get_the_stored_answers(runtime, left)
        application.is_repaired = True
        application.slow.open()
        await _goes_on(application, left)


async def _is_as_it_was(runtime: Runtime, said: dict[str, Any]) -> None:
    for name, run in said["runs"].items():
        now = (await runtime.get(f"/runs/{run['run']['runId']}")).json
        if name in MOVING:
            given = {member: value for member, value in run["root"].items() if member in GIVEN}
            assert differences(given, now["root"], name) == []
        else:
            assert differences(run, now, name) == []
    listed = {run["id"] for run in (await runtime.get("/runs?limit=100")).json["runs"]}
    assert listed >= {run["root"]["id"] for run in said["runs"].values()}
    for target in ("schedules", "hooks", "workflow-retentions"):
        kept = said["retentions" if target.endswith("retentions") else target]
        assert differences(kept, (await runtime.get(f"/{target}")).json, target) == []
    tagged = (await runtime.get("/runs?tag=customer:c-1")).json["runs"]
    assert [run["idempotencyKey"] for run in tagged] == ["succeeded"]
    dismissed = (await runtime.get("/runs?dismissed=true")).json["runs"]
    assert [run["idempotencyKey"] for run in dismissed] == ["dismissed"]


async def _repeats_get_the_stored_answers(runtime: Runtime, left: Left) -> None:
    for name in ENDED:
        reply = await runtime.start(STARTS[name])
        assert reply.headers["idempotency-replayed"] == "true"
        root = left.said["runs"][name]["root"]
        told = reply.json
        assert (told["id"], told.get("response")) == (root["id"], root["response"])
        assert_problem(await runtime.start(STARTS[name] | {"payload": "other"}), 422, "payload-mismatch")
    called = {seen.url for seen in runtime.seen}
    assert called <= {STARTS[name]["stepInvokeUrl"] for name in MOVING}, (
        "a stored answer called an endpoint"
    )


async def _goes_on(application: Application, left: Left) -> None:
    runtime = application.runtime
    run_of = {name: run["run"]["runId"] for name, run in left.said["runs"].items()}
    [waits_for] = [step["id"] for step in left.said["runs"]["waiting"]["steps"] if step["kind"] == "event"]
    for target, document in (
        (f"/steps/{waits_for}/result", "42 EUR"),
        (f"/runs/{run_of['paused']}/resume", None),
        ("/workflows/held/resume", None),
        (f"/steps/{left.id_of('failed')}/redrive", None),
    ):
        reply = await runtime.post(target, document)
        assert reply.status == 200, (target, reply.body)
    late = STARTS["delayed"] | {"workflowName": "late", "idempotencyKey": "late"}
    started = (await runtime.start(late, Prefer="respond-async")).json
    assert (await runtime.post(f"/runs/{started['runId']}/cancel")).status == 200
    moved = await runtime.request("POST", "/_dev/time/advance", body=b'{"by": 90000000}')
    assert moved.status == 200, moved.body
    for name in STARTS.keys() - set(ENDED) | {"failed"}:
        await runtime.step_in(left.id_of(name), "succeeded")
    waited = (await runtime.get(f"/steps/{left.id_of('waiting')}")).json
    assert waited["response"] == "42 EUR"
    digests = (await runtime.get("/runs?workflowName=digest")).json["runs"]
    assert [run["idempotencyKey"] for run in digests] == ["daily@2026-12-01T08:00:00Z"]
    await asyncio.wait_for(application.hooked.wait(), 10)


async def _the_key_is_accepted(server: AtomicServer, key: str) -> None:
    async with runtime_on(server, client=CLIENT, keys={CLIENT: key}) as runtime:
        reply = await runtime.get("/key")
        assert reply.status == 200, reply.body
        nobody = await runtime.request("GET", f"/{CLIENT}/key", headers={"Authorization": "Bearer x"})
        assert_problem(nobody, 401, "unauthorized")


def test_a_difference_is_found() -> None:
    then = {"a": [1, {"b": None}], "revision": "x"}
    assert differences(then, {"a": [1, {"b": None, "new": 1}], "more": 1}) == []
    assert differences(then, {"a": [1, {"b": 2}]}) == [".a[1].b: was None, is 2"]
    assert differences(then, {"a": [1]}) == [".a: was [1, {'b': None}], is [1]"]
    assert differences(then, {}) == [".a: was [1, {'b': None}], is 'nothing'"]
