"""The TypeScript package: its checks, its tests on the embedded server, and what `npm pack` makes of it."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from docs.pages import DOCS, blocks_of, file_on, play
from docs.terminal import terminal
from docs.test_pages import PLAYED_ELSEWHERE
from typescript.package import NEEDS_TOOLS, PACKAGE, TOOLS, run, use_typescript

pytestmark = NEEDS_TOOLS
ADAPTERS: Final = ("express", "fastify", "hono", "koa", "lambda", "next")
PAGES: Final = PLAYED_ELSEWHERE


def test_format_lint_and_types() -> None:
    run("npm", "run", "--silent", "check")


@pytest.mark.long
def test_its_own_tests_on_the_embedded_server() -> None:
    # A minute and a half on two cores that do nothing else.
    run("npm", "test", within_s=600)


@pytest.mark.parametrize("name", ["node", *ADAPTERS])
def test_an_adapter_is_short_and_needs_no_framework(name: str) -> None:
    source = (PACKAGE / "src" / f"{name}.ts").read_text()
    assert len(source.splitlines()) <= 40
    imported = re.findall(r'^(?:import|export)\b.* from "(.*)";$', source, re.MULTILINE)
    assert all(each.startswith("./") or each == "node:http" for each in imported)


def test_what_is_packed_is_typed_and_small(built: Path) -> None:
    run("npm", "run", "--silent", "gates", folder=built)


def test_both_registries_get_the_same_entries() -> None:
    npm, jsr = (json.loads((PACKAGE / name).read_text()) for name in ("package.json", "jsr.json"))
    built = {
        name: entry["import"]["default"] for name, entry in npm["exports"].items() if "json" not in name
    }
    sources = {
        name: path.replace("/dist/esm/", "/src/").removesuffix(".js") + ".ts"
        for name, path in built.items()
    }
    assert jsr["exports"] == sources
    assert (jsr["version"], jsr["license"]) == (npm["version"], npm["license"])


@pytest.mark.parametrize("code", ['import("{name}")', 'Promise.resolve(require("{name}"))'])
@pytest.mark.parametrize(
    ("name", "export"),
    [
        ("atomic-workflows", "Atomic"),
        ("atomic-workflows/bigint", "parseWithBigint"),
        ("atomic-workflows/protocol", "verify"),
        ("atomic-workflows/node", "node"),
        *[(f"atomic-workflows/{name}", name) for name in ADAPTERS],
        ("atomic-workflows/flow", "FlowKeys"),
        ("atomic-workflows/runs", "Runs"),
        ("atomic-workflows/schedules", "Schedules"),
        ("atomic-workflows/bulk", "Bulk"),
        ("atomic-workflows/hooks", "Hooks"),
        ("atomic-workflows/pauses", "WorkflowPauses"),
        ("atomic-workflows/counters", "Counters"),
        ("atomic-workflows/records", "Records"),
        ("atomic-workflows/encryption", "Encryption"),
        ("atomic-workflows/testing", "startDevServer"),
    ],
)
def test_it_is_imported_and_required(installed: Path, code: str, name: str, export: str) -> None:
    (installed / "uses.cjs").write_text(
        f"{code.format(name=name)}.then((m) => console.log(typeof m.{export}))"
    )
    assert run("node", "uses.cjs", folder=installed).strip() == "function"


@pytest.mark.skipif(shutil.which("curl") is None, reason="the pages' commands use curl")
@pytest.mark.parametrize("name", [*PAGES, "../README.md"])
def test_a_page_runs_as_shown(
    name: str, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_typescript(tmp_path, monkeypatch)
    page = tmp_path / "page"
    shutil.copytree(installed, page)
    with terminal(page) as opened:
        assert play(DOCS / name, opened) > 0


def test_the_tests_of_the_page_on_testing_run(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_typescript(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{Path(sys.executable).parent}")
    monkeypatch.delenv("ATOMIC_URL", raising=False)
    page = tmp_path / "page"
    shutil.copytree(installed, page)
    (page / "trial.test.ts").write_text(file_on(DOCS / "testing.md", "trial.test.ts"))
    printed = run("node", "trial.test.ts", folder=page)
    assert "pass 2" in printed
    assert "fail 0" in printed


@pytest.mark.parametrize("name", [*PAGES, "testing.md", "../README.md"])
def test_a_page_is_typed(name: str, installed: Path, tmp_path: Path) -> None:
    for block in blocks_of(DOCS / name):
        head, _, _ = block.text.partition("\n")
        shown = head.removeprefix("// ").removesuffix(", continued")
        # A block without the name of its file is a line of another program.
        if (block.language == "ts" and shown.endswith(".ts")) or shown == "tsconfig.json":
            if (tmp_path / shown).exists() and not head.endswith(", continued"):
                # The page shows another version of the file.
                (tmp_path / shown).rename(tmp_path / f"before-{shown}")
            with (tmp_path / shown).open("a") as file:
                file.write(block.text)
    shutil.copytree(installed / "node_modules", tmp_path / "node_modules")
    (tmp_path / "node_modules" / "@types").symlink_to(TOOLS / "@types")
    (tmp_path / "node_modules" / "undici-types").symlink_to(TOOLS / "undici-types")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    options += ["--allowImportingTsExtensions"]
    options += sorted(str(file) for file in tmp_path.glob("*.ts"))
    if (tmp_path / "tsconfig.json").exists():
        # The page's own settings, on all files of its folder.
        options = []
    run(str(TOOLS / ".bin" / "tsc"), *options, folder=tmp_path)
