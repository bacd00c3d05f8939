"""Times the first minutes of somebody new, from empty folders and empty caches: `make first-run`.

    python scripts/first_run.py [FOLDER]      (the packages of `make dist`; without it they are built first)

- Python: a new environment, `pip install` of the wheel with its server, `atomic demo`.
- TypeScript: the same installation for the server, `npm install` of the package, the program of the quick
  start, and its first run.

What is not counted: the download of Python and Node, and the time to read and type.
"""

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import dist
from installed import (
    REPO,
    CheckError,
    atomic_server,
    clean_environment,
    free_port,
    new_environment,
    pip_install,
    run,
    serving,
)

QUICK_START: Final = REPO / "docs" / "quickstart-typescript.md"
GOAL_S: Final = 60
# From this version on, Node runs TypeScript itself.
_RUNS_TYPESCRIPT: Final = (22, 18)
_PORT: Final = 9000
_ANSWER: Final = {"paid": "42 EUR", "parcel": "parcel 1"}

Times = dict[str, float]


@contextmanager
def timed(times: Times, what: str) -> Iterator[None]:
    """Add the seconds that this takes."""
    began_s = time.perf_counter()
    yield
    times[what] = time.perf_counter() - began_s
    print(f"{times[what]:6.1f} s  {what}", flush=True)


def by_python(wheel: Path, folder: Path) -> tuple[Times, Path]:
    """The seconds of each command, and the command `atomic` that is installed then."""
    times: Times = {}
    with timed(times, "python3 -m venv"):
        python = new_environment(sys.executable, folder / "atomic-server")
    with timed(times, "pip install 'atomic-workflows[server]'"):
        pip_install(python, "--no-cache-dir", f"{wheel}[server]", folder=folder)
    atomic = python.parent / "atomic"
    with timed(times, "atomic demo"):
        run(atomic, "demo", folder=folder)
    return times, atomic


def by_typescript(package: Path, atomic: Path, folder: Path) -> Times:
    """The seconds of each command, with a server that is installed already."""
    times: Times = {}
    project = folder / "my-shop"
    project.mkdir()
    env = clean_environment(npm_config_cache=str(folder / "npm-cache"), npm_config_update_notifier="false")
    with timed(times, "npm install atomic-workflows"):
        run("npm", "init", "-y", folder=project, env=env)
        run("npm", "pkg", "set", "type=module", folder=project, env=env)
        run("npm", "install", "--no-audit", package, folder=project, env=env)
    port = free_port()
    (project / "shop.ts").write_text(program(QUICK_START.read_text(), port))
    (project / "carrier-is-up").touch()
    runner = ["node"] if _node_version(folder) >= _RUNS_TYPESCRIPT else ["npx", "--yes", "tsx"]
    with ExitStack() as ended:
        with timed(times, "atomic serve"):
            found = ended.enter_context(atomic_server(atomic, folder))
        with timed(times, " ".join([*runner, "shop.ts"])):
            ended.enter_context(serving([*runner, "shop.ts"], port, project, env | found))
        with timed(times, "atomic start order"):
            order = ("order", f"http://127.0.0.1:{port}/order", "--key", "order-1", "--payload", "42")
            printed = run(atomic, "start", *order, folder=project, env=found)
    if json.loads(printed) != _ANSWER:
        raise CheckError(f"the first run answered {printed}")
    return times


def program(page: str, port: int) -> str:
    """The program of the quick start, on another port. Raises ValueError if the page has none."""
    shown = re.search(r"^```ts\n(// shop\.ts\n.*?)^```", page, re.DOTALL | re.MULTILINE)
    if shown is None or str(_PORT) not in shown[1]:
        raise ValueError(f"{QUICK_START.name} shows no shop.ts that listens on port {_PORT}")
    return shown[1].replace(str(_PORT), str(port))


def _node_version(folder: Path) -> tuple[int, ...]:
    printed = run("node", "--version", folder=folder)
    return tuple(int(part) for part in printed.strip().removeprefix("v").split(".")[:2])


def _said(name: str, total_s: float) -> str:
    verdict = "within" if total_s <= GOAL_S else "MORE THAN"
    return f"{name}: {total_s:.0f} s of commands, {verdict} the goal of {GOAL_S} s"


def main(given: Path | None) -> None:
    """Time both ways, and compare with the goal."""
    with tempfile.TemporaryDirectory(prefix="atomic-first-run-") as name:
        folder = Path(name)
        packages = given or folder / "packages"
        if given is None:
            packages.mkdir()
            dist.python_packages(packages)
            dist.npm_package(packages)
        [wheel], [package] = packages.glob("*.whl"), packages.glob("*.tgz")
        python_times, atomic = by_python(wheel, folder)
        node_times = by_typescript(package, atomic, folder)
    installing_s = sum(python_times.values()) - python_times["atomic demo"]
    print(_said("Python", sum(python_times.values())))
    print(_said("TypeScript, with the installation of the server", installing_s + sum(node_times.values())))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else None)
    except CheckError as refused:
        sys.exit(f"the first run failed: {refused}")
