"""The dashboard's modules as scripts: each once, after those it imports, under the names it exports."""

import re

import pytest

from atomic.dashboard import files
from atomic.dashboard.joined import joined_scripts

MODULES = {
    "main.js": '// The first.\nimport * as all from "./core/a.js";\n'
    'import {\n  one,\n  two as zwei,\n} from "./core/b.js";\nconst later = import("./core/c.js");\n',
    "core/a.js": 'import { one } from "./b.js";\n/** Says\n * more. */\nexport function say() {}\n',
    "core/b.js": "export const one = 1;\nexport class two {}\n",
    "core/c.js": 'export { one } from "./b.js";\nimport { two } from "./d.js";\n',
    "core/d.js": "export const two = 2;\n",
    "core/unused.js": "export const never = 0;\n",
}


def test_modules_are_blocks_in_the_order_of_their_imports() -> None:
    head, *lines = joined_scripts(MODULES, "main.js")["joined.js"].split("\n")
    assert re.fullmatch('const modules = { version: "[0-9a-f]{16}" };', head)
    assert lines == [
        "{", "const one = 1;", "class two {}", "", 'modules["core/b.js"] = { one, two };', "}",
        "{", 'const { one } = modules["core/b.js"];', "function say() {}", "",
        'modules["core/a.js"] = { say };', "}",
        "{", 'const all = modules["core/a.js"];', 'const { one, two: zwei, } = modules["core/b.js"];',
        'const later = import("./joined-core-c.js").then((part) => part.default(modules));', "",
        'modules["main.js"] = {  };', "}", "",
    ]  # fmt: skip


def test_what_is_imported_later_is_a_part_with_what_it_needs_besides() -> None:
    scripts = joined_scripts(MODULES, "main.js")
    assert scripts.keys() == {"joined.js", "joined-core-c.js"}
    head, check, *lines = scripts["joined-core-c.js"].split("\n")
    assert head == "export default (modules) => {"
    assert re.fullmatch('if \\(modules.version !== "[0-9a-f]{16}"\\) throw new Error\\(.*\\);', check)
    assert lines == [
        'if (!modules["core/d.js"]) {', "const two = 2;", "", 'modules["core/d.js"] = { two };', "}",
        'if (!modules["core/c.js"]) {', 'const { one } = modules["core/b.js"];',
        'const { two } = modules["core/d.js"];', "", 'modules["core/c.js"] = { one };', "}",
        'return modules["core/c.js"];', "};", "",
    ]  # fmt: skip


def test_a_part_refuses_modules_of_another_version() -> None:
    def version(modules: dict[str, str]) -> set[str]:
        texts = joined_scripts(modules, "main.js").values()
        return {found for text in texts for found in re.findall(r'version\W+"(\w+)"', text)}

    (before,) = version(MODULES)
    (after,) = version(MODULES | {"core/b.js": "export const one = 2;\nexport class two {}\n"})
    assert before != after


def test_a_part_may_have_parts() -> None:
    later = {
        "core/d.js": 'export const two = () => import("./e.js");\n',
        "core/e.js": "export const e = 0;\n",
    }
    scripts = joined_scripts(MODULES | later, "main.js")
    assert list(scripts) == ["joined.js", "joined-core-c.js", "joined-core-e.js"]
    assert (
        'import("./joined-core-e.js").then((part) => part.default(modules))' in scripts["joined-core-c.js"]
    )
    assert 'modules["core/e.js"] = { e }' not in scripts["joined-core-c.js"]


def test_modules_in_a_circle_are_refused() -> None:
    circle = {
        "main.js": 'import { a } from "./a.js";\n',
        "a.js": 'import { main } from "./main.js";\nexport const a = main;\n',
    }
    with pytest.raises(ValueError, match=r"main\.js"):
        joined_scripts(circle, "main.js")


def test_a_module_of_the_dashboard_is_in_what_needs_it() -> None:
    first, run = files.file("joined.js"), files.file("joined-views-run.js")
    assert first is not None
    assert run is not None
    assert first.body.decode().count('modules["core/api.js"] = {') == 1
    assert 'modules["core/api.js"] = {' not in run.body.decode()
    assert run.body.decode().count('modules["views/run.js"] = {') == 1
    assert not re.search(r"^import ", first.body.decode(), re.MULTILINE)
