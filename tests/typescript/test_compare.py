"""Our TypeScript program of docs/compare.md runs; all of them are checked against the real packages."""

import json
import shutil
from pathlib import Path
from typing import Final

import pytest

from docs.terminal import terminal
from typescript.package import NEEDS_TOOLS, TOOLS, run

pytestmark = NEEDS_TOOLS

PROGRAMS: Final = Path(__file__).parents[2] / "benchmarks" / "line_by_line" / "typescript"
PEERS: Final = PROGRAMS / "node_modules"
SERVER: Final = """
import { createServer } from "node:http";
import { node } from "atomic-workflows/node";
import { POST } from "./with_atomic.ts";

createServer(node({ fetch: POST })).listen(9000, "127.0.0.1");
"""


def check(files: list[Path], folder: Path) -> None:
    """Check the types of these programs."""
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    options += ["--allowImportingTsExtensions", "--skipLibCheck", "--ignoreConfig"]
    run(str(TOOLS / ".bin" / "tsc"), *options, *map(str, files), folder=folder)


def test_our_program_runs(installed: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    shutil.copytree(installed, page)
    for name in ("@types", "undici-types"):
        (page / "node_modules" / name).symlink_to(TOOLS / name)
    for name in ("effects.ts", "with_atomic.ts"):
        shutil.copy(PROGRAMS / name, page)
    check([page / "with_atomic.ts"], page)
    with terminal(page) as typed:
        typed.save("server.ts", SERVER)
        bundle = (
            "--bundle",
            "--format=esm",
            "--platform=node",
            "--packages=external",
            "--log-level=warning",
        )
        run(str(TOOLS / ".bin" / "esbuild"), "server.ts", *bundle, "--outfile=server.mjs", folder=page)
        typed.type("atomic serve --dev")
        typed.type("node server.mjs")
        url = "http://127.0.0.1:9000/users/create"
        started = typed.type(f"atomic start create {url} --key ada-1 --payload '\"ada\"'")
    assert json.loads(started) == {"user": {"id": 1, "name": "ada"}, "mail": "mail to ada"}


@pytest.mark.skipif(
    not PEERS.is_dir(),
    reason="960 MB of packages: `npm install --ignore-scripts` in benchmarks/line_by_line/typescript",
)
def test_the_programs_of_others_are_typed() -> None:
    files = sorted(PROGRAMS.glob("with_*.ts"))
    check([file for file in files if file.stem != "with_atomic"], PROGRAMS)
