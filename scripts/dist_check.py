"""Checks what `make dist` has built: its metadata, and that it works where nothing else is.

    python scripts/dist_check.py FOLDER [--pythons 3.11,3.12] [--release]

- Checksums, and the metadata of both registries: twine, attw, publint, and the line of release.yml that
  publishes to npm, as a dry run.
- With `--release`, what only the public address of the project can bring (scripts/release_ready.py).
- Wheel and sdist, each in an empty environment of each Python that this machine has: `atomic demo`. Their
  dependencies are the newest that pyproject.toml allows, as `pip install` takes them.
- The package of npm in an empty project: a TypeScript program is checked by tsc, and starts a run.
- The zip of the layer, by a Python that has nothing else on its path.
"""

import argparse
import os
import re
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import release_ready
from dist import CHECKSUMS
from installed import (
    REPO,
    TOOLS,
    CheckError,
    atomic_server,
    interpreter,
    new_environment,
    pip_install,
    run,
)

TWINE: Final = REPO / ".venv-release" / "bin" / "twine"
WORKFLOW: Final = REPO / ".github" / "workflows" / "release.yml"
SERVER_LOCK: Final = REPO / "requirements-server.lock"
# The Python that the functions run on, and so the layer. The bytecode in the zip is of this version.
RUNTIME: Final = "3.13"
_DEMO_ENDS_WITH: Final = "1 user, 1 mail, 1 analytics event"
_PROGRAM: Final = """\
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Atomic, endpoints } from "atomic-workflows";
import { node } from "atomic-workflows/node";

const users = endpoints();
const insert = users.step("insert", (name: string, call) => ({ id: call.idempotencyKey, name }));
users.workflow("create", async (ctx, name: string) => {
  const user = await ctx.step(insert, name);
  return { name: user.name };
});

const server = createServer(node(users));
server.listen(0, "127.0.0.1", async () => {
  const { port } = server.address() as AddressInfo;
  const create = { workflowName: "create", url: `http://127.0.0.1:${port}/create` };
  const outcome = await new Atomic().start(create, "ada", { key: "ada-1" });
  console.log(outcome.status, JSON.stringify(outcome.response));
  process.exit();
});
"""
_TYPE_ERROR: Final = 'import { Atomic } from "atomic-workflows";\nnew Atomic().start(1);\n'
_IMPORTS: Final = """\
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import atomic
assert atomic.__file__.startswith(sys.argv[1]), atomic.__file__
imported, lacking = 0, set()
for module in pkgutil.walk_packages(atomic.__path__, "atomic."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
        imported += 1
    except ModuleNotFoundError as error:
        assert not (error.name or "").startswith("atomic"), error
        lacking.add(error.name)
print(atomic.__version__, imported, *sorted(lacking))
"""


def metadata(folder: Path) -> None:
    """What the registries would refuse, and what would be wrong for who installs it."""
    run("sha256sum", "--check", "--strict", CHECKSUMS, folder=folder)
    run(TWINE, "check", "--strict", _only(folder, "*.whl"), _sdist(folder), folder=folder)
    package = _only(folder, "*.tgz")
    run(TOOLS / ".bin" / "attw", package, "--profile", "node16", folder=folder)
    run(TOOLS / ".bin" / "publint", package, "--strict", folder=folder)


def npm_publish(workflow: str) -> str:
    """The command by which release.yml publishes to npm; the files are in `release` there."""
    [command] = re.findall(r"(npm publish --provenance .+)$", workflow, re.MULTILINE)
    return str(command)


def publishable(folder: Path, command: str) -> None:
    """Publish to npm as release.yml would, without the last request: npm reads its argument and the file.

    It asks no registry, so a name or a version that is taken is not seen.
    """
    with tempfile.TemporaryDirectory(prefix="atomic-dist-") as name:
        (Path(name) / "release").symlink_to(folder)
        run("sh", "-c", f"{command} --dry-run --offline", folder=Path(name))


def python_package(package: Path, python: str | Path, folder: Path, *, pinned: bool = False) -> Path:
    """Install a wheel or an sdist with its server, run the demo; the command `atomic`.

    `pinned` takes the dependencies of requirements-server.lock, and not the newest.
    """
    new = new_environment(python, folder / "empty")
    if pinned:
        pip_install(new, "--require-hashes", "-r", SERVER_LOCK, folder=folder)
        pip_install(new, "--no-deps", package, folder=folder)
    else:
        pip_install(new, f"{package}[server]", folder=folder)
    atomic = new.parent / "atomic"
    said = run(atomic, "--version", folder=folder)
    if version_of(package) not in said:
        raise CheckError(f"{package.name} says that its version is {said}")
    shown = run(atomic, "demo", folder=folder)
    if _DEMO_ENDS_WITH not in shown:
        raise CheckError(f"the demo of {package.name} does not end as it should:\n{shown}")
    return atomic


def npm_package(package: Path, atomic: Path, folder: Path) -> None:
    """Install the package of npm in an empty project; a typed program starts a run on the server."""
    project = folder / "project"
    project.mkdir()
    (project / "package.json").write_text('{"type": "module"}')
    run("npm", "install", "--silent", "--no-audit", "--no-fund", package, folder=project)
    # The tools of a developer are not what is tested: they are those of the lock file.
    (project / "node_modules" / "@types").symlink_to(TOOLS / "@types")
    (project / "node_modules" / "undici-types").symlink_to(TOOLS / "undici-types")
    tsc = [
        TOOLS / ".bin" / "tsc",
        "--strict",
        "--module",
        "nodenext",
        "--target",
        "es2022",
        "--types",
        "node",
    ]
    (project / "wrong.ts").write_text(_TYPE_ERROR)
    try:
        run(*tsc, "--noEmit", "wrong.ts", folder=project)
    except CheckError as refused:
        if "wrong.ts(2," not in str(refused):
            raise
    else:
        raise CheckError(f"{package.name} has no types: tsc takes a number for a workflow")
    (project / "program.ts").write_text(_PROGRAM)
    run(*tsc, "program.ts", folder=project)
    with atomic_server(atomic, folder) as found:
        printed = run("node", "program.js", folder=project, env=found, within_s=60)
    if printed.strip() != 'succeeded {"name":"ada"}':
        raise CheckError(f"the program by {package.name} printed:\n{printed}")


def layer(archive: Path, python: str | Path, folder: Path) -> str:
    """Import the layer as a Python without other packages can; what it said.

    Only packages that the functions or Lambda's runtime bring may be missing, never a module of Atomic.
    """
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder / "opt")
    # `-S`: no packages of this Python. `-I`: none of this folder, and no PYTHONPATH.
    said = run(python, "-I", "-S", "-c", _IMPORTS, folder / "opt" / "python", folder=folder)
    version, imported, *lacking = said.split()
    if version != version_of(archive) or int(imported) < 1:
        raise CheckError(f"{archive.name} has the version {version}, and {imported} modules to import")
    return f"{imported} modules imported, others need {', '.join(lacking)}"


def version_of(file: Path) -> str:
    """The version in a file's name."""
    [version] = re.findall(r"-(\d+\.\d+\.\d+)(?=[-.])", file.name)
    return str(version)


def offered_pythons() -> list[str]:
    """The versions of Python that pyproject.toml promises."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    return re.findall(r"Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)


def main(folder: Path, versions: list[str], *, is_release: bool) -> None:
    """Check all of it, and say what was not checked, and why."""
    if lacking := release_ready.lacking(REPO, _only(folder, "*.whl")):
        said = "\n".join(f"- {each}" for each in lacking)
        if is_release:
            raise CheckError(f"CONTRIBUTING.md#a-release has steps that are not done:\n{said}")
        print(f"a release would be refused (`make dist-check RELEASE=1`):\n{said}", flush=True)
    metadata(folder)
    publishable(folder, npm_publish(WORKFLOW.read_text()))
    print("checksums, twine, attw, publint, a dry run of `npm publish`: nothing wrong", flush=True)
    pythons = {version: interpreter(version) for version in versions}
    if not any(pythons.values()):
        raise CheckError(f"this machine has none of Python {', '.join(versions)}")
    is_npm_checked = False
    for version, python in pythons.items():
        if python is None:
            print(f"Python {version}: NOT CHECKED, this machine has none", flush=True)
            continue
        for package in (_only(folder, "*.whl"), _sdist(folder)):
            with tempfile.TemporaryDirectory(prefix="atomic-dist-") as name:
                atomic = python_package(package, python, Path(name))
                print(f"Python {version}: {package.name} is installed, and `atomic demo` works", flush=True)
                if not is_npm_checked:
                    npm = _only(folder, "*.tgz")
                    npm_package(npm, atomic, Path(name))
                    print(f"{npm.name} is installed, typed, and starts a run", flush=True)
                    is_npm_checked = True
    archive = _only(folder, "atomic-layer-*.zip")
    runtime = interpreter(RUNTIME) or sys.executable
    with tempfile.TemporaryDirectory(prefix="atomic-dist-") as name:
        said = layer(archive, runtime, Path(name))
    print(f"{archive.name} by {os.path.basename(os.path.realpath(runtime))}: {said}")


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise CheckError(f"{folder} has {len(found)} files {pattern}, and should have one: run `make dist`")
    return found[0]


def _sdist(folder: Path) -> Path:
    return _only(folder, "*.tar.gz")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--pythons", default=",".join(offered_pythons()))
    arguments.add_argument("--release", action="store_true")
    chosen = arguments.parse_args()
    try:
        main(chosen.folder.absolute(), chosen.pythons.split(","), is_release=chosen.release)
    except CheckError as refused:
        sys.exit(f"not fit for a release: {refused}")
