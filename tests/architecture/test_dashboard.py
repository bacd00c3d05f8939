"""Size limits and rules of the dashboard's modules, which have no build step that could check them."""

import re
from pathlib import Path

import pytest

from atomic.dashboard import files
from dashboard_enums import MODULE, module

REPO = Path(__file__).parents[2]
SCRIPTS = REPO / "scripts"
STATIC = REPO / "layers" / "atomic" / "atomic" / "dashboard" / "static"
# Vendored code is left as it is (`make vendor`); only the browser's content security policy applies to it.
VENDORED = sorted(STATIC.glob("vendor/*.js"))
MODULES = sorted(set(STATIC.rglob("*.js")) - set(VENDORED))
# A view is mostly markup, with one line per element.
MODULE_MAX, FUNCTION_MAX, LINE_MAX = 300, 60, 108
# Code that would interpret text as HTML or run it as a script.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
    r"|dangerouslySetInnerHTML"
)
FUNCTION = re.compile(r"^(?:export )?(?:async )?function .*?^\}", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r'from "(\.[^"]+)"')
# Each folder may import from itself and from those after it in the list.
ROOMS = ["main", "views", "components", "core", "vendor"]


def room_of(module: Path) -> str:
    parent = module.relative_to(STATIC).parent.name
    return parent or "main"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(STATIC)))
def test_a_module_keeps_size_and_import_rules(module: Path) -> None:
    text = module.read_text()
    assert text.count("\n") <= MODULE_MAX
    assert [line for line in text.splitlines() if len(line) > LINE_MAX] == []
    long = [
        found[0].splitlines()[0] for found in FUNCTION.finditer(text) if found[0].count("\n") > FUNCTION_MAX
    ]
    assert long == []
    assert FORBIDDEN.search(text) is None
    assert text.startswith("// "), "a module begins with a comment that says what it is for"
    for name in IMPORT.findall(text):
        other = (module.parent / name).resolve()
        assert other.is_file(), name
        assert ROOMS.index(room_of(other)) >= ROOMS.index(room_of(module)), f"{name} is in front"


def test_only_the_api_module_calls_the_server() -> None:
    asking = [
        module.name
        for module in MODULES
        if re.search(r"\bfetch\(|XMLHttpRequest|EventSource", module.read_text())
    ]
    assert asking == ["api.js"]


def test_only_tokens_define_colours() -> None:
    for sheet in STATIC.glob("styles/*.css"):
        colours = re.findall(r"#[0-9a-fA-F]{3,8}\b|(?<![-\w])rgb\(", sheet.read_text())
        assert sheet.name == "tokens.css" or colours == [], (sheet.name, colours)


def test_core_modules_do_not_use_vendored_code() -> None:
    using = [
        module.name for module in MODULES if room_of(module) == "core" and "vendor/" in module.read_text()
    ]
    assert using == []


def test_every_module_and_sheet_is_in_what_the_page_loads() -> None:
    texts = files.joined()
    found = {
        name
        for text in texts.values()
        for name in re.findall(r'^modules\["([^"]+)"\] =', text, re.MULTILINE)
    }
    assert sorted(found) == sorted(str(module.relative_to(STATIC)) for module in MODULES + VENDORED)
    for path in STATIC.glob("styles/*.css"):
        without_comments = re.sub(r" */\*.*?\*/\n?", "", path.read_text(), flags=re.DOTALL)
        holders = [name for name in texts if name.endswith(".css") and without_comments in texts[name]]
        assert len(holders) == 1, (path.name, holders)
    assert not [name for name in texts if name.endswith(".css") and "*/" in texts[name]]


def test_imports_and_exports_have_the_forms_that_can_be_joined() -> None:
    forms = re.compile(
        r'import (?:\* as \w+|\{[^}]*\}) from "\.[^"]+";|export \{[^}]*\} from "\.[^"]+";'
        r"|export (?:const|class|function|async function) \w+"
    )
    for path in MODULES:
        text = path.read_text()
        for found in re.finditer(r"^(?:import|export)\b(?!\()", text, re.MULTILINE):
            assert forms.match(text, found.start()), text[found.start() :][:80]


def test_vendored_code_states_versions_and_has_licences() -> None:
    pinned = dict(
        re.findall(r"\b(preact|htm|esbuild)=(\d+\.\d+\.\d+)", (SCRIPTS / "vendor-preact").read_text())
    )
    (module,) = VENDORED
    head = module.read_text().partition("\nvar ")[0]
    for name, version in pinned.items():
        assert re.search(rf"{name} {version}\b", head, re.IGNORECASE), (name, version)
    assert len(pinned) == 3
    licences = re.findall(r"\((\S+), ([a-z-]+\.txt)\)", head)
    assert {name for name, _ in licences} == {"MIT", "Apache-2.0"}
    for name, file in licences:
        title = {"MIT": "MIT License", "Apache-2.0": "Apache License"}[name]
        assert title in (module.parent / file).read_text()[:200]


def test_enumerations_equal_those_of_the_protocol() -> None:
    assert MODULE.read_text(encoding="utf-8") == module(), "run make openapi"


def test_modules_are_found() -> None:
    assert {room_of(module) for module in MODULES + VENDORED} == set(ROOMS)
