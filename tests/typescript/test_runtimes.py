"""The packed package on Node, Bun, Deno and Workers: an endpoint of three steps, and its client.

`make typescript-runtimes` installs the runtimes (370 MB) and runs this; RUNS=2000 starts more runs on each.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from scenarios.embedded_runtime import AtomicServer
from typescript.package import NEEDS_TOOLS, PACKAGE, TOOLS, run

pytestmark = NEEDS_TOOLS
RUNTIMES: Final = Path(__file__).parent / "runtimes"
INSTALLED: Final = RUNTIMES / "node_modules"
RUNS: Final = int(os.environ.get("RUNS", "20"))
# Nothing that an endpoint would not have: it reads its settings, and it answers and makes requests.
DENO: Final = ("run", "--no-lock", "--cached-only", "--allow-env", "--allow-net=127.0.0.1")


def program(pattern: str) -> str:
    """The program of a runtime, from the package for this machine; no script of a package is run for it."""
    found = next(INSTALLED.glob(pattern), None)
    if found is None:
        pytest.skip("`make typescript-runtimes` installs Bun, Deno and workerd")
    return str(found)


@pytest.fixture(scope="module")
def application(installed: Path) -> Path:
    for source in RUNTIMES.glob("*.mjs"):
        shutil.copy(source, installed)
    return installed


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AtomicServer]:
    server = AtomicServer(tmp_path / "data")
    server.start()
    monkeypatch.setenv("ATOMIC_URL", server.url)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "runtimes")
    yield server
    server.stop()


def node(application: Path) -> list[str]:
    return ["node", "serve_node.mjs", str(RUNS)]


def bun(application: Path) -> list[str]:
    return [program("@oven/bun-*/bin/bun"), "serve_bun.mjs", str(RUNS)]


def deno(application: Path) -> list[str]:
    return [program("@deno/*/deno*"), *DENO, "serve_deno.mjs", str(RUNS)]


def worker(application: Path) -> list[str]:
    program("@cloudflare/workerd-*/bin/workerd*")
    bundle = application / "bundle.mjs"
    options = ("--bundle", "--format=esm", "--log-level=warning", f"--outfile={bundle}")
    run(str(TOOLS / ".bin" / "esbuild"), "worker.mjs", *options, folder=application)
    # Beside miniflare, which Node finds from there.
    return ["node", str(RUNTIMES / "serve_worker.mjs"), str(RUNS), str(bundle)]


@pytest.mark.parametrize("command", [node, bun, deno, worker])
def test_every_run_succeeds(application: Path, server: AtomicServer, command: object) -> None:
    assert callable(command)
    found = json.loads(run(*command(application), folder=application))
    assert found == {f"succeeded mail to user-{name} 6": RUNS // 10 for name in range(10)}


def test_jsr_would_take_the_sources(tmp_path: Path) -> None:
    deno = program("@deno/*/deno")
    for name in ("src", "jsr.json", "README.md"):
        source = PACKAGE / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    run(deno, "publish", "--dry-run", "--allow-dirty", folder=tmp_path)
