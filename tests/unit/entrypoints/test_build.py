"""Which commit a server says that it is made of."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from atomic.entrypoints.http_api import meta

REPO = Path(__file__).parents[3]
SHOW = "from atomic.entrypoints.http_api import meta; print(meta.build())"


@pytest.mark.parametrize(("commit", "told"), [("0123abc-dirty", "0123abc-dirty"), ("", "None")])
def test_the_layer_knows_the_commit_that_it_was_built_of(tmp_path: Path, commit: str, told: str) -> None:
    layer = ["make", "-s", "-C", str(REPO / "layers/atomic"), "build-AtomicLayer"]
    # Without a commit pip is asked, which has noted none: this environment is installed from a folder.
    # No bytecode: `true` stands for the interpreter of the runtime.
    subprocess.run(
        [*layer, f"ARTIFACTS_DIR={tmp_path}", f"ATOMIC_COMMIT={commit}", "RUNTIME=true"], check=True
    )
    command = [sys.executable, "-c", SHOW]
    environ = {"PYTHONPATH": str(tmp_path / "python")}
    shown = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == told


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        (
            {"url": "https://git.example/atomic", "vcs_info": {"vcs": "git", "commit_id": "0123abc"}},
            "0123abc",
        ),
        ({"url": "file:///src/atomic", "dir_info": {"editable": True}}, None),
        (None, None),
    ],
)
def test_pip_notes_the_commit_of_a_repository(
    noted: dict[str, Any] | None, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Distribution:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return None if noted is None else json.dumps(noted)

    monkeypatch.setattr(metadata, "distribution", lambda _: Distribution())
    assert meta.build.__wrapped__() == told


def test_a_package_that_is_not_installed_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert meta.build.__wrapped__() is None
