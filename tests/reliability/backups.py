"""Backups of a server under load, amid kill -9, each restored elsewhere, where the load goes on.

`python -m reliability.backups BACKUPS [SEED]` runs a campaign.
"""

import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw

from atomic.adapters.secret_files import KEY_PEPPER
from atomic.entrypoints.embedded import client_admin
from atomic.entrypoints.embedded.restore import restore
from reliability.observations import rows_of
from reliability.promises import Load, Promises
from scenarios.embedded_runtime import AtomicServer, LockedServer, runtime_on
from scenarios.runtime import Runtime

RUNS_A_ROUND: Final = 60
# What is killed while a backup is made.
_KILLED: Final = ("nothing", "the server", "the backup", "both")
_OLDER_ASKED: Final = 20
_LOAD_S: Final = 2.0
_DRAIN_S: Final = 120
_ORPHANS: Final = """
SELECT count(*) FROM steps AS step WHERE is_root = 0 AND NOT EXISTS (
    SELECT 1 FROM steps WHERE id = substr(step.id, 1, instr(step.id, '-')) || 'root'
)
"""
_UNCOUNTED: Final = """
SELECT (SELECT count(*) FROM steps WHERE is_root = 1) - (SELECT coalesce(sum(started), 0) FROM counters)
"""

Command = Callable[[Path, Path], Sequence[str]]


def backup_command(data_dir: Path, target: Path) -> Sequence[str]:
    """`atomic backup`."""
    return [sys.executable, "-m", "atomic.cli", "backup", str(target), "--data-dir", str(data_dir)]


@dataclass(slots=True)
class Campaign:
    """The result of a campaign. `cut` backups were killed before they were complete."""

    problems: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    cut: int = 0
    kept: int = 0
    live: int = 0
    lost: int = 0
    seconds: float = 0
    backups_s: list[float] = field(default_factory=list)
    restarts_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        killed = ", ".join(f"{self.killed.count(each)} times {each}" for each in _KILLED)
        return (
            f"{len(self.restarts_s)} backups restored in {self.seconds:.0f} s; killed meanwhile: {killed} "
            f"({self.cut} backups were cut off and repeated); {self.kept} runs acknowledged before the "
            f"backup of their round, and {self.lost} after it; {self.live} runs were live in copies; "
            f"{len(self.problems)} problems; "
            f"a backup: median {statistics.median(self.backups_s or [0]):.2f} s, "
            f"restart to healthy: median {statistics.median(self.restarts_s or [0]):.2f} s"
        )


def run(directory: Path, *, backups: int, seed: int, command: Command = backup_command) -> Campaign:
    """Back up, kill, restore and go on, so many times; stop at the first round with a problem."""
    began = time.monotonic()
    campaign = asyncio.run(_Rounds(directory, seed, command).run(backups))
    campaign.seconds = time.monotonic() - began
    return campaign


class _Rounds:
    def __init__(self, directory: Path, seed: int, command: Command) -> None:
        self._directory = directory
        self._seed = seed
        self._chance = random.Random(seed)
        self._command = command
        self._locked = LockedServer(directory / "data")
        self._server = self._locked.server
        self._pepper = (directory / "data" / KEY_PEPPER).read_bytes()
        self._campaign = Campaign()

    async def run(self, backups: int) -> Campaign:
        campaign, port = self._campaign, self._locked.endpoint_port
        await asyncio.to_thread(self._server.start)
        async with runtime_on(
            self._server, client="alpha", keys=self._locked.keys, endpoint_port=port
        ) as runtime:
            load = Load(runtime, self._seed)
            load.promises.api_keys.update(alpha=self._locked.keys["alpha"], beta=self._locked.keys["beta"])
            for number in range(backups):
                await self._round(number, runtime, load)
                campaign.problems += load.problems
                if campaign.problems:
                    break
            else:
                for key in load.promises.taken:
                    await load.ask_again(key)
                campaign.problems += load.problems
        if self._server.process.poll() is None:
            assert self._server.stop() == 0
            rows = await rows_of(self._server.data_dir, "alpha")
            campaign.problems += load.promises.broken_in(rows)
        return campaign

    async def _round(self, number: int, runtime: Runtime, load: Load) -> None:
        """One backup under load, the end of its server, and the load on another server with the copy."""
        first = number * RUNS_A_ROUND
        callers = [
            asyncio.create_task(load.call(first + each, self._chance.random() * _LOAD_S))
            for each in range(RUNS_A_ROUND)
        ]
        await asyncio.sleep(0.7 + self._chance.random() * 0.5)
        with client_admin.admin(self._server.data_dir) as admin:
            name = f"client-{number}"
            load.promises.api_keys[name], _ = admin.create(name, base_urls=["https://app.example/"])
        promised = load.promises.copy()
        copy = await self._backed_up(number)
        self._server.kill()
        # What the callers were told by then is noted, so that it can be forgotten.
        await asyncio.sleep(0.05)
        self._campaign.problems += await self._problems_of_copy(copy, promised)
        if self._campaign.problems:
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            return
        lost = set(load.promises.taken) - set(promised.taken)
        self._campaign.lost += len(lost)
        self._campaign.kept += len([key for key in promised.taken if int(key[1:]) >= first])
        load.promises = promised
        load.called.clear()
        self._locked.keys.update(promised.api_keys)
        await self._restore(copy, number)
        # Whose run was lost posts it again.
        callers += [asyncio.create_task(load.call(int(key[1:]), 0)) for key in lost]
        await self._ask(runtime, load, promised.copy(), first)
        await asyncio.wait_for(asyncio.gather(*callers), _DRAIN_S)

    async def _backed_up(self, number: int) -> Path:
        """A complete copy, whatever was killed meanwhile."""
        copy = self._directory / "copies" / str(number)
        killed = self._chance.choice(_KILLED)
        self._campaign.killed.append(killed)
        failed = await self._one_backup(copy, killed)
        if failed is not None and killed not in {"the backup", "both"}:
            self._campaign.problems.append(f"{copy}: killed was {killed}: {failed}")
        if not copy.exists():
            self._campaign.cut += 1
            if failed := await self._one_backup(copy, "nothing"):
                self._campaign.problems.append(f"{copy}: when it was repeated: {failed}")
        return copy

    async def _one_backup(self, copy: Path, killed: str) -> str | None:
        """Make a backup; what it said if it failed."""
        began = time.monotonic()
        command = self._command(self._server.data_dir, copy)
        process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=PIPE)
        if killed != "nothing":
            await asyncio.to_thread(_until_it_copies, process, copy)
            await asyncio.sleep(self._chance.random() * 0.03)
            if killed in {"the server", "both"}:
                self._server.kill()
            if killed in {"the backup", "both"} and process.returncode is None:
                process.kill()
            if killed == "the server" and self._chance.random() < 0.5:
                await asyncio.to_thread(self._server.start)
        _, said = await process.communicate()
        if killed == "nothing":
            self._campaign.backups_s.append(time.monotonic() - began)
        return f"exit code {process.returncode}: {said.decode()}" if process.returncode else None

    async def _problems_of_copy(self, copy: Path, promised: Promises) -> list[str]:
        """What the copy lacks, by its rows. They are read in a copy of it: reading writes a log beside."""
        looked_at = self._directory / "looked-at"
        shutil.copytree(copy, looked_at)
        try:
            rows = await rows_of(looked_at, "alpha")
            problems = list(promised.broken_in(rows))
            self._campaign.live += sum(
                row.finished_at_ms is None for (path, _), row in rows.items() if path == "/flow"
            )
            connection = apsw.Connection(str(looked_at / "atomic.db"))
            if orphans := connection.execute(_ORPHANS).get:
                problems.append(f"{copy}: {orphans} steps have no root")
            if uncounted := connection.execute(_UNCOUNTED).get:
                problems.append(f"{copy}: {uncounted} roots more than the counters say")
            connection.close()
            if not (copy / KEY_PEPPER).exists() or (copy / KEY_PEPPER).read_bytes() != self._pepper:
                problems.append(f"{copy}: the pepper is missing, or another one")
            return problems
        finally:
            shutil.rmtree(looked_at)

    async def _restore(self, copy: Path, number: int) -> None:
        """Start a server on the copy, at the place of the one before, whose directory goes."""
        shutil.rmtree(self._server.data_dir)
        restored = self._directory / f"restored-{number}"
        await asyncio.to_thread(restore, copy, restored)
        shutil.rmtree(copy.parent)
        self._server = AtomicServer(restored, dev=False, port=self._server.port)
        self._campaign.restarts_s.append(await asyncio.to_thread(self._server.start))

    async def _ask(self, runtime: Runtime, load: Load, promised: Promises, first: int) -> None:
        """Every key is valid, outcomes are told without a call, and what was live goes on."""
        for client in promised.api_keys:
            reply = await runtime.request("GET", f"/{client}/stats", key_of=client)
            if reply.status != 200:
                load.problems.append(f"{client}: its API key is refused: {reply.status}")
        stranger = await runtime.request("GET", "/alpha/stats", key_of="beta")
        if stranger.status not in {401, 403, 404}:
            load.problems.append(f"the key of another client is accepted: {stranger.status}")
        newest = [key for key in promised.taken if int(key[1:]) >= first]
        older = self._chance.sample(sorted(promised.told), min(_OLDER_ASKED, len(promised.told)))
        await asyncio.gather(*(load.ask_again(key) for key in {*newest, *older}))
        load.problems += [f"{key}: called after its end" for key in load.called & set(promised.told)]


def _until_it_copies(process: Process, copy: Path) -> None:
    # The copy is made in a directory beside, which is renamed when it is complete.
    while process.returncode is None and not list(copy.parent.glob(f".{copy.name}-*")):
        time.sleep(0.001)


def main(backups: int, seed: int) -> int:
    """Run the campaign and print the result; return the exit code."""
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        campaign = run(Path(directory), backups=backups, seed=seed)
    print(campaign)
    print(*campaign.problems[:50], sep="\n")
    return int(bool(campaign.problems) or len(campaign.restarts_s) != backups)


if __name__ == "__main__":
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    raise SystemExit(main(int(sys.argv[1]), chosen))
