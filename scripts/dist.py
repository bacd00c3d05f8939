"""Builds what a release has: wheel, sdist, package of npm, Lambda layer, SBOM, and their checksums.

    python scripts/dist.py FOLDER      (`make dist` builds the layer first)

The same commit gives the same bytes, so that anybody can check a release. The folder has to be empty.
"""

# ruff: noqa: S603 - this script starts programs of this repository and waits for them
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

REPO: Final = Path(__file__).resolve().parents[1]
PYTHON: Final = Path(sys.executable)
LAYER: Final = REPO / ".aws-sam" / "build" / "AtomicLayer"
CHECKSUMS: Final = "SHA256SUMS"
SOURCE: Final = "layers/atomic/atomic/__init__.py"
# The earliest time that a zip file can have: no file of a release has the time of its build.
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644


class NoReleaseError(Exception):
    """Why there can be no release."""


def versions(repo: Path = REPO) -> dict[str, set[str]]:
    """What each file that names the version says. The first one is where the version is set."""

    def found(name: str, pattern: str) -> set[str]:
        return set(re.findall(pattern, (repo / name).read_text(), re.MULTILINE))

    lock = json.loads((repo / "typescript/package-lock.json").read_text())
    return {
        SOURCE: found(SOURCE, r'^__version__ = "(.+)"$'),
        "typescript/package.json": {json.loads((repo / "typescript/package.json").read_text())["version"]},
        "typescript/package-lock.json": {lock["version"], lock["packages"][""]["version"]},
        "typescript/jsr.json": {json.loads((repo / "typescript/jsr.json").read_text())["version"]},
        "docs/openapi.json": {json.loads((repo / "docs/openapi.json").read_text())["info"]["version"]},
        # The description of the stack, and the one of its layer.
        "template.yaml": found("template.yaml", r"\bDescription: Atomic(?: ([^,}\n]*))?[,}]"),
    }


def version(repo: Path = REPO) -> str:
    """The version of this checkout. Raises NoReleaseError when two files name different ones."""
    named = versions(repo)
    [ours] = named.pop(SOURCE)
    for name, others in named.items():
        if others != {ours}:
            theirs = " and ".join(sorted(others)) or "nothing"
            raise NoReleaseError(f"{name} has the version {theirs}, and {SOURCE} {ours}")
    return ours


def python_packages(folder: Path, repo: Path = REPO) -> None:
    """Build wheel and sdist into the folder. Hatchling gives their files one fixed time."""
    command = [PYTHON, "-m", "hatchling", "build", "-d", folder]
    subprocess.run(command, cwd=repo, check=True, stdout=subprocess.DEVNULL)


def npm_package(folder: Path, repo: Path = REPO) -> None:
    """Build the package of npm into the folder, from a copy. npm gives its files one fixed time.

    It packs their modes as they are, so the copy has one mode, whatever the umask of the checkout was.
    """
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "typescript"
        shutil.copytree(repo / "typescript", copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (copy / "node_modules").symlink_to(REPO / "typescript" / "node_modules")
        command = ["npm", "pack", "--silent", "--pack-destination", folder]
        subprocess.run(command, cwd=copy, check=True, stdout=subprocess.DEVNULL, umask=0o022)


def zipped(source: Path, target: Path) -> None:
    """Zip a folder: its files by name, with one time and one mode."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(source).as_posix(), _ZIP_TIME)
            entry.external_attr = _MODE << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def sbom(target: Path) -> None:
    """Write what the server is made of besides itself (CycloneDX), from its lock file."""
    cyclonedx = REPO / ".venv-audit" / "bin" / "cyclonedx-py"
    lock = REPO / "requirements-server.lock"
    subprocess.run([cyclonedx, "requirements", lock, "--output-reproducible", "-o", target], check=True)


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files, as `sha256sum --check SHA256SUMS` reads them."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    (folder / CHECKSUMS).write_text("".join(lines))


def main(folder: Path) -> None:
    """Build all of it."""
    if not LAYER.is_dir():
        raise NoReleaseError("there is no built layer; run `make build` first, or `make dist`")
    if folder.exists() and any(folder.iterdir()):
        raise NoReleaseError(f"{folder} is not empty; remove it first")
    folder.mkdir(parents=True, exist_ok=True)
    named = version()
    python_packages(folder)
    npm_package(folder)
    zipped(LAYER, folder / f"atomic-layer-{named}.zip")
    sbom(folder / f"atomic-workflows-{named}.cdx.json")
    write_checksums(folder)
    print((folder / CHECKSUMS).read_text(), end="")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).absolute())
    except NoReleaseError as refused:
        sys.exit(f"no release: {refused}")
