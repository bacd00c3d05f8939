"""The package as an application has it."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from typescript.package import PACKAGE, TOOLS, run


@pytest.fixture(scope="session")
def built() -> Iterator[Path]:
    """A copy of the package that is built. Each process of the tests has its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "typescript")
        shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
        (folder / "node_modules").symlink_to(TOOLS)
        run("npm", "run", "--silent", "build", folder=folder)
        yield folder


@pytest.fixture(scope="session")
def installed(built: Path) -> Path:
    """A folder in which the packed package is installed."""
    folder = built.parent / "application"
    folder.mkdir()
    # Who packs a checkout has built nothing.
    shutil.rmtree(built / "dist")
    [packed] = json.loads(run("npm", "pack", "--json", "--pack-destination", str(folder), folder=built))
    names = {file["path"] for file in packed["files"]}
    assert {"package.json", "README.md", "dist/esm/index.js", "dist/cjs/index.js"} <= names
    assert not {each for each in names if each.startswith(("src/", "test/", "node_modules/"))}
    (folder / "package.json").write_text('{"type": "module"}')
    options = ("--silent", "--offline", "--no-audit", "--no-fund")
    run("npm", "install", *options, packed["filename"], folder=folder)
    found = {each.name for each in (folder / "node_modules").iterdir() if not each.name.startswith(".")}
    assert found == {"atomic-workflows"}, "the package has no dependencies"
    return folder
