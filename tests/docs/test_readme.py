"""The README runs as shown, the commands that it names exist, and no document has a broken link."""

import json
import re
import tomllib
from pathlib import Path

from docs.pages import blocks_of, play
from docs.terminal import terminal

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_readme_runs_as_shown_up_to_the_part_that_needs_node(tmp_path: Path) -> None:
    """tests/typescript runs all of it."""
    begun, heading, _ = README.partition("\n## The same in TypeScript\n")
    assert heading
    page = tmp_path / "README.md"
    page.write_text(begun)
    with terminal(tmp_path) as opened:
        assert play(page, opened) == 1


def test_the_programs_of_the_readme_are_short() -> None:
    lines = {
        block.language: sum(bool(line.strip()) for line in block.text.splitlines()[1:])
        for block in blocks_of(ROOT / "README.md")
        if block.language in {"python", "ts"}
    }
    assert lines.keys() == {"python", "ts"}
    assert max(lines.values()) <= 12


def test_the_line_of_facts_is_true() -> None:
    facts = next(line for line in README.splitlines() if line.startswith("[Apache License 2.0]"))
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    node = json.loads((ROOT / "typescript" / "package.json").read_text())
    versions = [each.rpartition(" ")[2] for each in python["classifiers"] if ":: Python :: 3." in each]
    assert python["license"] == "Apache-2.0"
    assert f"Python {versions[0]} to {versions[-1]} (3.14 was not run yet)" in facts
    assert f"Node {node['engines']['node'].removeprefix('>=')} or newer" in facts
    assert "needs no packages" in facts
    assert "dependencies" not in node


def test_what_the_readme_installs_has_all_that_its_program_imports() -> None:
    [extra, more] = re.findall(r"^pip install '\.\[(\w+)\]'([\w ]*)", README, re.MULTILINE)[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"][extra], *more.split()]
    installed = {re.split(r"[^\w.-]", each)[0] for each in declared}
    [program] = [block.text for block in blocks_of(ROOT / "README.md") if block.language == "python"]
    imported = set(re.findall(r"^(?:from|import) (\w+)", program, re.MULTILINE))
    assert imported == {"atomic", "fastapi"}
    assert imported - {"atomic"} <= installed
    assert "uvicorn" in installed  # the command below the program


def test_commands_of_the_project_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named <= targets
    assert {"demo", "test"} <= named


def test_links_inside_the_project_are_not_broken() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
            # One with brackets in its name is in angle brackets.
            named = target.removeprefix("<").removesuffix(">")
            assert (document.parent / named).exists(), f"{document.name}: {target}"
