"""Litestream beside a server under load, and a restore of what it copied, with the real program."""

import asyncio
import os
import random
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from atomic.adapters.secret_files import KEY_PEPPER
from deploy.tools import DEPLOY, checked
from reliability.observations import rows_of
from reliability.promises import Load, Promises
from scenarios.embedded_runtime import LockedServer, runtime_on

CONFIG: Final = DEPLOY / "litestream" / "litestream.yml"
# `make deploy-check` installs it; it is a program of its own, and no package of Debian.
INSTALLED: Final = DEPLOY.parent / ".venv-litestream" / "bin" / "litestream"
DATABASES: Final = ("atomic.db", "clients.db")
RUNS: Final = 120
ENDS: Final = 2
# Three times its `sync-interval`: on a busy machine it is late.
COPIED_WITHIN_S: Final = 3.0


@pytest.fixture
def litestream() -> str:
    named = os.environ.get("LITESTREAM")
    found = named or (str(INSTALLED) if INSTALLED.exists() else shutil.which("litestream"))
    if found is None:
        pytest.skip("litestream is not installed: make deploy-check, or LITESTREAM=/path/to/it")
    return found


def configured(directory: Path, data_dir: Path) -> Path:
    """The project's configuration, for a data directory and with a directory in place of the bucket."""
    text = CONFIG.read_text().replace("/var/lib/atomic/", f"{data_dir}/")
    path = directory / "litestream.yml"
    path.write_text(text.replace("s3://atomic-backups.example/", f"file://{directory}/replica/"))
    return path


@contextmanager
def replicating(litestream: str, config: Path) -> Iterator[None]:
    """It copies while the context lasts, and is killed then."""
    with (config.parent / "litestream.log").open("ab") as log:
        process = subprocess.Popen([litestream, "replicate", "-config", config], stdout=log, stderr=log)
    try:
        yield
        assert process.poll() is None, (config.parent / "litestream.log").read_text()
    finally:
        process.kill()
        process.wait(10)


def restore_commands() -> list[str]:
    """What the page gives Litestream to restore: as its service is started, and with its credentials."""
    page = (DEPLOY.parent / "docs" / "servers.md").read_text()
    unit = (DEPLOY / "systemd" / "litestream.service").read_text()
    [program] = re.findall(r"^ExecStart=(\S+) ", unit, re.MULTILINE)
    options = [line for line in unit.splitlines() if line.startswith(("UMask=", "EnvironmentFile="))]
    assert len(options) == 2
    started = "sudo systemd-run --pipe --wait --uid=atomic --gid=atomic " + " ".join(
        f"-p {each}" for each in options
    )
    return re.findall(rf"^{re.escape(f'{started} {program}')} (restore .+)$", page, re.MULTILINE)


def restored(litestream: str, config: Path, data_dir: Path, target: Path) -> None:
    """Restore by the commands of docs/servers.md, to another place: only this path is another one."""
    target.mkdir(mode=0o700)
    moved = config.with_name("restore.yml")
    moved.write_text(config.read_text().replace(f"path: {data_dir}/", f"path: {target}/"))
    commands = restore_commands()
    assert len(commands) == len(DATABASES)
    for command in commands:
        for old, new in (("/etc/litestream.yml", moved), ("/var/lib/atomic", target)):
            assert old in command
            command = command.replace(old, str(new))
        checked(litestream, *shlex.split(command))
    shutil.copy(data_dir / KEY_PEPPER, target / KEY_PEPPER)


class Continuous:
    """A server under load beside Litestream, which ends with all that it had, and is restored."""

    def __init__(self, directory: Path, litestream: str) -> None:
        self.locked = LockedServer(directory / "data")
        self.data_dir = self.locked.server.data_dir
        self.server = self.locked.server
        self._directory = directory
        self._litestream = litestream
        self._config = configured(directory, self.data_dir)

    async def end(self, load: Load, first: int) -> tuple[Promises, list[asyncio.Task[None]]]:
        """Run until the end of the machine; what was promised some seconds before, and the callers."""
        with replicating(self._litestream, self._config):
            callers = [asyncio.create_task(load.call(first + n, n * 0.05)) for n in range(RUNS)]
            await asyncio.sleep(RUNS * 0.05 / 4)
            # A server that ends alone goes on as ever.
            self.server.kill()
            await asyncio.to_thread(self.server.start)
            await asyncio.sleep(RUNS * 0.05 / 4)
            promised = load.promises.copy()
            await asyncio.sleep(COPIED_WITHIN_S)
            self.server.kill()
        return promised, callers

    async def restore(self, promised: Promises) -> None:
        """Restore to the same place, and check the rows of the data directory and of its copy."""
        target = self._directory / "restored"
        await asyncio.to_thread(restored, self._litestream, self._config, self.data_dir, target)
        for each in (target, self.data_dir):
            looked_at = self._directory / "looked-at"
            shutil.copytree(each, looked_at)
            assert list(promised.broken_in(await rows_of(looked_at, "alpha"))) == []
            shutil.rmtree(looked_at)
        shutil.rmtree(self.data_dir)
        target.rename(self.data_dir)
        await asyncio.to_thread(self.server.start)


def test_what_was_acknowledged_some_seconds_before_the_end_is_restored(
    tmp_path: Path, litestream: str
) -> None:
    """Twice: the copies go on at the same place after the first restore."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    continuous = Continuous(tmp_path, litestream)
    continuous.server.start()

    async def main() -> None:
        locked = continuous.locked
        async with runtime_on(
            continuous.server, client="alpha", keys=locked.keys, endpoint_port=locked.endpoint_port
        ) as runtime:
            load = Load(runtime, seed)
            for number in range(ENDS):
                promised, callers = await continuous.end(load, number * RUNS)
                before = len(load.promises.told)
                await continuous.restore(promised)
                load.promises = promised
                load.called.clear()
                told = set(promised.told)
                await asyncio.wait_for(asyncio.gather(*callers), 60)
                for key in list(load.promises.taken):
                    await load.ask_again(key)
                assert load.problems == []
                assert not load.called & told
                print(f"{before} runs had ended, {len(told)} of them {COPIED_WITHIN_S} s before")
                assert len(told) > RUNS / 12
            assert continuous.server.stop() == 0

    asyncio.run(main())


def test_the_configuration_names_the_databases_of_a_data_directory() -> None:
    text = CONFIG.read_text()
    assert [line.split("/")[-1] for line in text.splitlines() if "- path:" in line] == list(DATABASES)
