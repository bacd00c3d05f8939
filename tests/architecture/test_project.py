"""The project's metadata, licence, CI, hooks and Makefile agree with each other."""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from trove_classifiers import classifiers as known_classifiers

import dist_check

REPO = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
CI = yaml.safe_load((REPO / ".github/workflows/ci.yml").read_text())
RELEASE = yaml.safe_load((REPO / ".github/workflows/release.yml").read_text())
HOOKS = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())
BIN = Path(sys.executable).parent
# The text of https://www.apache.org/licenses/LICENSE-2.0.txt, as packages carry it.
APACHE_2_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def make_targets() -> set[str]:
    """The targets that `make help` describes."""
    makefile = (REPO / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))


def made_in(text: str) -> set[str]:
    """The targets that a script or a page calls."""
    return set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))


def steps_of(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job.get("steps", []) if "run" in step]


def base_of_the_image() -> str:
    """The image that the stage `base` is, literally: Dependabot reads no `FROM` with a variable."""
    dockerfile = (REPO / "deploy/docker/Dockerfile").read_text()
    [base] = re.findall(r"^FROM (\S+:\S+) AS base$", dockerfile, re.MULTILINE)
    others = set(re.findall(r"^FROM (.+)$", dockerfile, re.MULTILINE)) - {f"{base} AS base"}
    assert others == {"${BASE} AS build", "${BASE}"}
    assert "\nARG BASE=base\n" in dockerfile
    return str(base)


def test_the_licence_is_the_text_of_apache_2() -> None:
    assert hashlib.sha256((REPO / "LICENSE").read_bytes()).hexdigest() == APACHE_2_SHA256
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]


def test_classifiers_exist() -> None:
    assert set(PROJECT["classifiers"]) <= known_classifiers


def test_ci_tests_every_supported_python() -> None:
    offered = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    # CI tries the next one, too, before it is promised: it was not run yet.
    assert CI["jobs"]["test"]["strategy"]["matrix"]["python"] == [*offered, "3.14"]
    assert PROJECT["requires-python"] == f">={offered[0]}"


def test_ci_calls_targets_that_exist_and_none_of_ci_run_is_missing() -> None:
    called = made_in("\n".join(line for job in CI["jobs"].values() for line in steps_of(job)))
    assert called <= make_targets()
    script = "".join(re.findall(r"^make .*\n", (REPO / ".ci/run").read_text(), re.MULTILINE))
    assert made_in(script) <= called
    assert made_in(script) == {"test", "test-aws"}


def test_ci_looks_at_containers_with_every_program_of_debian_that_reads_deploy() -> None:
    installed, *made = steps_of(CI["jobs"]["containers"])
    assert made_in("\n".join(made)) == {"deploy-check", "image-check"}
    image = base_of_the_image().partition("@")[0]
    assert f" BASE={image}" in made[-1]
    # The runner has systemd and Docker with Compose; `make deploy-check` installs hadolint and Litestream.
    tests = "".join(path.read_text() for path in (REPO / "tests/deploy").glob("*.py"))
    programs = set(re.findall(r'\bprogram\("([\w-]+)"\)', tests)) - {"docker", "systemd-analyze"}
    # `make unit-check` alone needs this one.
    programs.remove("systemd-nspawn")
    packages = {"promtool": "prometheus"}
    assert {packages.get(name, name) for name in programs} == set(installed.split(" -qq ")[-1].split())


def test_a_release_calls_targets_and_tests_that_exist() -> None:
    lines = "\n".join(line for job in RELEASE["jobs"].values() for line in steps_of(job))
    assert set(re.findall(r"\bmake ([a-z-]+)", lines)) == {"dist", "dist-check"} <= make_targets()
    # The last Python is the default one, on which the functions run. Together they are those that CI tests.
    [pythons] = [
        step["with"]["python-version"].split()
        for step in RELEASE["jobs"]["build"]["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert pythons[-1] == dist_check.RUNTIME
    assert sorted(pythons) == CI["jobs"]["test"]["strategy"]["matrix"]["python"]
    for path in re.findall(r"\b(?:tests|layers|scripts)/[\w./]+", lines):
        assert (REPO / path).exists(), path
    # The version is read from the file which the packages have it from.
    assert re.search(
        r"^__version__ = ", (REPO / "layers/atomic/atomic/__init__.py").read_text(), re.MULTILINE
    )


def test_a_release_is_built_after_all_tests_and_published_after_the_build() -> None:
    # YAML reads the key `on` as true.
    assert "workflow_call" in CI[True]
    assert RELEASE["jobs"]["ci"] == {"uses": "./.github/workflows/ci.yml"}
    assert RELEASE["jobs"]["build"]["needs"] == "ci"
    assert RELEASE["jobs"]["publish"]["needs"] == "build"
    # No job of it is left out for a tag: who needs it would be left out, too.
    for name, job in CI["jobs"].items():
        assert "github.ref_type == 'tag'" in job.get("if", "github.ref_type == 'tag'"), name
        assert set(job.get("permissions", {}).values()) <= {"read"}, name


def test_a_release_publishes_what_can_be_refused_before_it_is_shown() -> None:
    steps = RELEASE["jobs"]["publish"]["steps"]
    order = [step.get("run", step.get("uses", "")) for step in steps]
    [pypi] = [n for n, step in enumerate(order) if "gh-action-pypi-publish" in step]
    [npm] = [n for n, step in enumerate(order) if "npm publish" in step]
    shown = [n for n, step in enumerate(order) if "gh release" in step]
    assert pypi < npm < min(shown)
    # Each may run again after a later one has failed.
    assert steps[pypi]["with"]["skip-existing"] is True
    assert order[npm].startswith("npm view ")
    assert " --clobber " in order[max(shown)]
    assert order[max(shown)].endswith(" --draft=false")


def test_a_release_is_refused_without_its_public_address() -> None:
    assert any(
        line.startswith("make dist-check ") and " RELEASE=1" in line
        for line in steps_of(RELEASE["jobs"]["build"])
    )
    make = ["make", "-n", "-o", "install", "-o", ".venv-release/installed", "dist-check", "RELEASE=1"]
    printed = subprocess.run(make, cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert "dist_check.py dist/release  --release\n" in printed


def test_the_changelog_has_the_kinds_of_keep_a_changelog() -> None:
    text = (REPO / "CHANGELOG.md").read_text()
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert [heading for heading in headings if heading.partition(":")[0] not in kinds] == []
    assert re.findall(r"^### .*\n+(?=###? )", text, re.MULTILINE) == []
    # A version has each kind once. Below *Unreleased*, a change has a heading of its own until the release.
    _, _, *versions = re.split(r"^## ", text, flags=re.MULTILINE)
    assert versions
    for version in versions:
        found = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert found
        assert len(set(found)) == len(found)
        assert set(found) <= kinds


def test_contributing_names_targets_that_exist() -> None:
    named = made_in((REPO / "CONTRIBUTING.md").read_text())
    assert named <= make_targets()
    assert {"install", "hooks", "check", "test", "decisions"} <= named


def test_hooks_are_local_and_their_programs_are_pinned() -> None:
    assert [repo["repo"] for repo in HOOKS["repos"]] == ["local"]
    for one in HOOKS["repos"][0]["hooks"]:
        program, *arguments = one["entry"].split()
        assert program.startswith(".venv/bin/"), one["id"]
        assert (BIN / Path(program).name).exists(), one["id"]
        for argument in arguments:
            assert "/" not in argument or (REPO / argument).exists(), one["id"]


def run(clone: Path, *command: str, skip: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command in the clone without this machine's git settings; `skip` names hooks, with commas."""
    who = {
        f"GIT_{role}_{what}": "a@example.com"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    runtime = {"HOME": str(clone.parent), "PRE_COMMIT_HOME": str(clone.parent / "hooks")}
    environ = {
        "PATH": f"{BIN}:{os.defpath}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "SKIP": skip,
        **runtime,
        **who,
    }
    return subprocess.run(command, cwd=clone, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with the hooks of this one, installed as by `make hooks`."""
    clone = tmp_path / "clone"
    (clone / "scripts").mkdir(parents=True)
    for name in (".pre-commit-config.yaml", "pyproject.toml", "scripts/commit_subject.py"):
        (clone / name).write_text((REPO / name).read_text())
    (clone / ".venv").symlink_to(BIN.parent)
    assert run(clone, "git", "init", "-q").returncode == 0
    assert run(clone, "pre-commit", "install").returncode == 0
    return clone


def test_a_commit_needs_formatted_code_and_a_good_subject(clone: Path) -> None:
    (clone / "new.py").write_text("x = {  'a':1 }\n")
    # mypy and import-linter check the whole package, which the clone does not have.
    commit = partial(run, clone, "git", "commit", "-m", skip="types,imports")
    run(clone, "git", "add", "new.py")
    assert "ruff format" in commit("Add a module").stderr
    assert (clone / "new.py").read_text() == 'x = {"a": 1}\n'
    run(clone, "git", "add", "new.py")
    assert "the subject does not start with a capital letter" in commit("adds a module").stderr
    assert run(clone, "git", "log").returncode != 0
    taken = commit("Add a module")
    assert taken.returncode == 0, taken.stderr
    assert run(clone, "git", "log", "--format=%s").stdout == "Add a module\n"


def test_make_test_measures_a_part_and_runs_every_test_once() -> None:
    make = ["make", "-n", "-o", ".venv/installed", "test"]
    printed = subprocess.run(make, cwd=REPO, capture_output=True, text=True, check=True).stdout
    measured, others, again = re.findall(r"pytest (.*?)(?:;| &&|\n)", printed)
    *paths, clears, cov, _, _ = measured.split()[4:]
    assert (clears, cov) == ("--cache-clear", "--cov")
    assert others.split(maxsplit=4)[4] == " ".join(f"--ignore {path}" for path in paths)
    assert again == "--last-failed --last-failed-no-failures none --maxfail 1"
    assert "coverage report\n" in printed
    assert all((REPO / path).exists() for path in paths)
    assert {"tests/unit/domain", "tests/contract", "tests/scenarios/test_memory.py"} <= set(paths)


def test_make_installs_the_hooks() -> None:
    makefile = (REPO / "Makefile").read_text()
    assert re.search(r"^hooks: install  ##.*\n\t\$\(BIN\)/pre-commit install\n", makefile, re.MULTILINE)


def test_who_only_runs_the_server_gets_what_is_tested() -> None:
    pinned = {
        name: set(re.findall(r"^([\w.-]+==[^ ;]+)", (REPO / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-server.lock")
    }
    assert pinned["requirements-server.lock"] < pinned["requirements.lock"]
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["server"]]
    names = {each.partition("==")[0] for each in pinned["requirements-server.lock"]}
    assert {re.split(r"[^\w.-]", each)[0] for each in wanted} <= names
    assert len(names) < 25, "each package lengthens `make demo`"


def test_whoever_builds_the_image_gets_the_build_system_that_is_tested() -> None:
    pinned = {
        name: set(re.findall(r"^([\w.-]+==[^ ;]+)", (REPO / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-build.lock")
    }
    assert pinned["requirements-build.lock"] < pinned["requirements.lock"]
    names = {each.partition("==")[0] for each in pinned["requirements-build.lock"]}
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    assert set(project["build-system"]["requires"]) <= names


def locks() -> list[Path]:
    """The lock files of Python: those in git, and those that are about to be."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.lock", "*requirements.txt"]
    listed = subprocess.run(asked, cwd=REPO, capture_output=True, text=True, check=True).stdout
    files = [REPO / name for name in listed.split() if (REPO / name).exists()]
    return [file for file in files if file.name.endswith(".lock") or "==" in file.read_text()]


def test_the_audit_looks_at_every_lock_file() -> None:
    make = ["make", "-n", "-o", "install", "-o", ".venv-audit/installed", "audit"]
    printed = subprocess.run(make, cwd=REPO, capture_output=True, text=True, check=True).stdout
    python, npm = re.findall(r"for lock in (.*?); do", printed)
    assert {REPO / name for name in python.split()} == set(locks())
    asked = ["git", "ls-files", "*package-lock.json"]
    listed = subprocess.run(asked, cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert set(npm.split()) == set(listed.split()) != set()


def without_hash(lock: str) -> list[str]:
    """The packages that a lock file pins without a hash."""
    entries = re.findall(r"^[\w.-]+==(?:.*\\\n)*.*$", lock, re.MULTILINE)
    return [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]


def test_every_pinned_package_has_a_hash() -> None:
    assert len(locks()) > 10
    assert {
        file.name: without_hash(file.read_text()) for file in locks() if without_hash(file.read_text())
    } == {}
    assert without_hash("a==1 \\\n    --hash=sha256:0\nb==2\nc==3 ; x \\\n    --hash=sha256:0\n") == [
        "b==2"
    ]


@pytest.mark.parametrize("workflow", ["ci.yml", "release.yml"])
def test_an_action_is_pinned_by_the_hash_of_its_commit(workflow: str) -> None:
    text = (REPO / ".github/workflows" / workflow).read_text()
    # A workflow of this repository is that of the same commit.
    used = [name for name in re.findall(r"uses: (.+)$", text, re.MULTILINE) if not name.startswith("./")]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action), action


def test_the_base_of_the_image_has_one_name() -> None:
    base = base_of_the_image().partition("@")[0]
    for name in ("Makefile", ".github/workflows/ci.yml", "docs/servers.md"):
        found = re.findall(r"python:[\w.-]+", (REPO / name).read_text())
        assert set(found) == {base}, name


def test_dependabot_reads_each_kind_of_pin() -> None:
    updates = yaml.safe_load((REPO / ".github/dependabot.yml").read_text())["updates"]
    found = {update["package-ecosystem"]: update for update in updates}
    assert found.keys() == {"github-actions", "npm", "pip", "docker", "docker-compose"}
    listed = subprocess.run(
        ["git", "ls-files", "*package-lock.json"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {f"/{Path(name).parent}" for name in listed} == set(found["npm"]["directories"])
    # It opens pull requests for the FROM of the stage `base`.
    assert base_of_the_image()
    for name in ("docker", "docker-compose"):
        assert (REPO / found[name]["directory"].removeprefix("/")).is_dir()
