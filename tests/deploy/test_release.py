"""What `make dist` builds: the same bytes again, and an installation that runs without a checkout."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

import dist
import dist_check
import first_run
import installed
import release_notes
import release_ready
from atomic import __version__
from typescript.package import NEEDS_TOOLS

REPO = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    dist.python_packages(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_another_checkout_of_the_same_commit_builds_the_same_bytes(built: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPO / "layers", elsewhere / "layers", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"):
        shutil.copyfile(REPO / name, elsewhere / name)
    dist.python_packages(tmp_path / "again", elsewhere)
    assert contents(tmp_path / "again") == contents(built)
    assert contents(built).keys() == {
        f"atomic_workflows-{__version__}-py3-none-any.whl",
        f"atomic_workflows-{__version__}.tar.gz",
    }


def test_wheel_and_sdist_have_the_package_and_nothing_of_the_repository(built: Path) -> None:
    [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"atomic/__init__.py", "atomic/py.typed", "atomic/dashboard/static/main.js"} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"atomic", "atomic_workflows"}
    root = f"atomic_workflows-{__version__}"
    with tarfile.open(sdist) as archive:
        packed = {name.removeprefix(f"{root}/") for name in archive.getnames()}
    assert {"layers/atomic/atomic/py.typed", "LICENSE", "README.md", "CHANGELOG.md", "PKG-INFO"} <= packed
    assert not {name for name in packed if name.startswith(("tests", "docs", "typescript", "benchmarks"))}


def test_the_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    [wheel], [sdist] = built.glob("*.whl"), built.glob("*.tar.gz")
    made = (*PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, sdist)
    run(*made, cwd=tmp_path)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.fixture(scope="module")
def atomic(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the wheel, installed where nothing else is; `atomic demo` has run."""
    [wheel] = built.glob("*.whl")
    folder = tmp_path_factory.mktemp("empty")
    return dist_check.python_package(wheel, sys.executable, folder, pinned=True)


def test_the_wheel_runs_where_nothing_else_is(atomic: Path) -> None:
    assert __version__ in run(atomic, "--version", cwd=atomic.parent)


@NEEDS_TOOLS[0]
@NEEDS_TOOLS[1]
def test_the_package_of_npm_works_in_an_empty_project(atomic: Path, tmp_path: Path) -> None:
    dist.npm_package(tmp_path)
    [package] = tmp_path.glob("*.tgz")
    assert package.name == f"atomic-workflows-{__version__}.tgz"
    dist_check.npm_package(package, atomic, tmp_path)


@NEEDS_TOOLS[0]
@NEEDS_TOOLS[1]
def test_the_package_of_npm_has_the_same_bytes_whatever_the_umask(tmp_path: Path) -> None:
    packed = []
    for umask, mode in ((0o022, 0o644), (0o077, 0o600)):
        checkout, folder = tmp_path / f"checkout{umask}", tmp_path / f"packed{umask}"
        ignored = shutil.ignore_patterns("node_modules", "dist")
        shutil.copytree(REPO / "typescript", checkout / "typescript", ignore=ignored)
        for file in checkout.rglob("*"):
            file.chmod(0o700 if file.is_dir() else mode)
        folder.mkdir()
        before = os.umask(umask)
        try:
            dist.npm_package(folder, checkout)
        finally:
            os.umask(before)
        packed.append(contents(folder))
    assert len(packed[0]) == 1
    assert packed[0] == packed[1]


def test_the_layer_has_the_same_bytes_wherever_it_is_built(tmp_path: Path) -> None:
    zips = []
    for umask, name in (("022", "one"), ("077", "another")):
        checkout, built = tmp_path / name / "checkout", tmp_path / name / "layer"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPO / "layers/atomic", checkout, ignore=ignored)
        make = f"make ARTIFACTS_DIR={built} RUNTIME={sys.executable} build-AtomicLayer"
        run("sh", "-c", f"umask {umask} && {make}", cwd=checkout)
        dist.zipped(built, tmp_path / f"{name}.zip")
        zips.append((tmp_path / f"{name}.zip").read_bytes())
    assert zips[0] == zips[1]
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        compiled = [name for name in archive.namelist() if name.endswith(".pyc")]
    assert len(compiled) > 100


@NEEDS_TOOLS[0]
@NEEDS_TOOLS[1]
def test_npm_reads_the_argument_of_the_release_as_a_file(tmp_path: Path) -> None:
    dist.npm_package(tmp_path)
    command = dist_check.npm_publish(dist_check.WORKFLOW.read_text())
    dist_check.publishable(tmp_path, command)
    with pytest.raises(installed.CheckError, match="ended with"):
        dist_check.publishable(tmp_path, command.replace("./release/", "./elsewhere/"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that `release_ready` reads, of a project that has a public address, and its wheel."""
    for name in ("typescript", "deploy/docker"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "typescript/package.json").write_text(
        '{"repository": {"url": "git+https://a.example/b.git"}}'
    )
    (tmp_path / "pyproject.toml").write_text('[project]\nurls = {Repository = "https://a.example/b"}\n')
    (tmp_path / "deploy/docker/Dockerfile").write_text(f"FROM python:3.13-slim@sha256:{'0' * 64} AS base\n")
    described(tmp_path, "[one](https://a.example/docs/one.md) and [two](#two)")
    return tmp_path


def described(folder: Path, readme: str) -> None:
    with zipfile.ZipFile(folder / "a.whl", "w") as archive:
        archive.writestr("a-1.dist-info/METADATA", f"Name: a\n\n{readme}\n")


def test_a_project_with_an_address_is_ready(checkout: Path) -> None:
    assert release_ready.lacking(checkout, checkout / "a.whl") == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("typescript/package.json", "{}", "`repository`, and npm refuses --provenance"),
        ("typescript/package.json", '{"repository": {"type": "git"}}', "`repository`, and npm refuses"),
        ("pyproject.toml", "[project]\n", "no `urls`"),
        ("deploy/docker/Dockerfile", "FROM python:3.13-slim AS base\n", "python:3.13-slim by a tag"),
        (None, "![a](docs/a.png) and [b](docs/b.md#c)", "2 relative links, .* such as docs/a.png"),
    ],
)
def test_each_thing_that_only_an_address_brings_is_asked_for(
    checkout: Path, name: str | None, text: str, says: str
) -> None:
    if name is None:
        described(checkout, text)
    else:
        (checkout / name).write_text(text)
    [said] = release_ready.lacking(checkout, checkout / "a.whl")
    assert re.search(says, said)


def test_a_release_without_an_address_is_not_fit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist_check, "REPO", checkout)
    (checkout / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(
        installed.CheckError, match=r"steps that are not done:\n- pyproject.toml has no `urls`"
    ):
        dist_check.main(checkout, [], is_release=True)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """What `sam build` makes the layer of."""
    folder = tmp_path / "layer"
    ignored = shutil.ignore_patterns("__pycache__", "testing")
    shutil.copytree(REPO / "layers/atomic/atomic", folder / "python" / "atomic", ignore=ignored)
    return folder


def test_the_layer_needs_nothing_of_atomic_that_it_has_not(layer: Path, tmp_path: Path) -> None:
    archive = tmp_path / f"atomic-layer-{__version__}.zip"
    dist.zipped(layer, archive)
    said = dist_check.layer(archive, sys.executable, tmp_path)
    assert "pydantic" in said  # so this Python's own packages were not found
    (layer / "python" / "atomic" / "protocol" / "urls.py").unlink()
    dist.zipped(layer, archive)
    shutil.rmtree(tmp_path / "opt")
    with pytest.raises(installed.CheckError, match=r"No module named 'atomic\.protocol\.urls'"):
        dist_check.layer(archive, sys.executable, tmp_path)


def test_a_package_that_does_not_work_is_not_fit(tmp_path: Path) -> None:
    wheel = tmp_path / "atomic_workflows-9.9.9-py3-none-any.whl"
    wheel.write_bytes(b"no zip")
    with pytest.raises(installed.CheckError, match=r"pip install .*9\.9\.9.* ended with 1"):
        dist_check.python_package(wheel, sys.executable, tmp_path)


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_is_served_ends_with_its_children(tmp_path: Path) -> None:
    port = installed.free_port()
    child = f"{sys.executable} -m http.server --bind 127.0.0.1 {port}"
    with installed.serving(["sh", "-c", f"{child} & wait"], port, tmp_path, installed.clean_environment()):
        socket.create_connection(("127.0.0.1", port), 1).close()
    # The child may close its port a moment after the shell that was waited for has ended.
    until_s = time.monotonic() + 10
    while not _is_refused(port):
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_the_first_run_is_the_program_of_the_quick_start() -> None:
    program = first_run.program(first_run.QUICK_START.read_text(), 12_345)
    assert "listen(12345" in program
    assert "9000" not in program
    with pytest.raises(ValueError, match=r"shows no shop\.ts"):
        first_run.program("```ts\n// other.ts\n```\n", 12_345)


def test_a_python_that_does_not_start_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert installed.interpreter(ours) == sys.executable
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed.interpreter("3.99") is None
    shim.write_text("#!/bin/sh\necho 3.99\n")
    assert installed.interpreter("3.99") == str(shim)


def test_a_zip_is_the_same_whatever_the_times_and_the_order_of_files(tmp_path: Path) -> None:
    for name, files in (("one", ("a", "b/c")), ("two", ("b/c", "a"))):
        for each in files:
            file = tmp_path / name / each
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(each)
            file.chmod(0o600 if name == "one" else 0o755)
        dist.zipped(tmp_path / name, tmp_path / f"{name}.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a": b"a", "b/c": b"b/c"}


def test_checksums_are_those_that_sha256sum_reads(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    shutil.copytree(built, folder)
    dist.write_checksums(folder)
    assert run("sha256sum", "--check", dist.CHECKSUMS, cwd=folder).count(": OK") == 2
    next(folder.glob("*.whl")).write_bytes(b"another")
    done = subprocess.run(
        ["sha256sum", "--check", dist.CHECKSUMS], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode != 0


def test_files_of_different_versions_are_no_release(tmp_path: Path) -> None:
    assert dist.version() == __version__
    for name in dist.versions():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPO / name, tmp_path / name)
    assert dist.version(tmp_path) == __version__
    for name in dist.versions():
        file = tmp_path / name
        text = file.read_text()
        file.write_text(text.replace(__version__, "9.9.9"))
        with pytest.raises(dist.NoReleaseError, match=r"has the version .*9\.9\.9|and .* 9\.9\.9"):
            dist.version(tmp_path)
        file.write_text(text)


def test_a_template_with_two_versions_is_no_release(tmp_path: Path) -> None:
    for name in dist.versions():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPO / name, tmp_path / name)
    template = tmp_path / "template.yaml"
    template.write_text(template.read_text().replace(f"Atomic {__version__}}}", "Atomic 9.9.9}"))
    with pytest.raises(dist.NoReleaseError, match=f"template.yaml has the version {__version__} and 9.9.9"):
        dist.version(tmp_path)


def test_the_notes_of_a_release_are_the_summary_of_its_version() -> None:
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-02\n\nIt is\nnew.\n\n### Added\n- More.\n"
    )
    assert release_notes.notes(changelog, "1.2.3") == "It is\nnew.\n"
    assert release_notes.notes("## [1.2.3] - 2026-01-02\nLast.", "1.2.3") == "Last.\n"
    for version in ("1.2.4", "1.2", "Unreleased"):
        with pytest.raises(ValueError, match=f"no dated heading of {version}"):
            release_notes.notes(changelog, version)
    with pytest.raises(ValueError, match="summary"):
        release_notes.notes("## [1.2.3] - 2026-01-02\n\n### Added\n- More.\n", "1.2.3")
