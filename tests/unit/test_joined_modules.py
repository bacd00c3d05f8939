"""The dashboard's modules as one script: each once, after those it imports, under the names it exports."""

import pytest

from atomic.dashboard import files
from atomic.dashboard.joined import joined_script

MODULES = {
    "main.js": '// The first.\nimport * as all from "./core/a.js";\n'
    'import {\n  one,\n  two as zwei,\n} from "./core/b.js";\nconst later = import("./core/c.js");\n',
    "core/a.js": 'import { one } from "./b.js";\n/** Says\n * more. */\nexport function say() {}\n',
    "core/b.js": "export const one = 1;\nexport class two {}\n",
    "core/c.js": 'export { one } from "./b.js";\n',
    "core/unused.js": "export const never = 0;\n",
}


def test_modules_are_blocks_in_the_order_of_their_imports() -> None:
    assert joined_script(MODULES, "main.js").split("\n") == [
        "const modules = {};",
        "{", "const one = 1;", "class two {}", "", 'modules["core/b.js"] = { one, two };', "}",
        "{", 'const { one } = modules["core/b.js"];', "function say() {}", "",
        'modules["core/a.js"] = { say };', "}",
        "{", 'const { one } = modules["core/b.js"];', "", 'modules["core/c.js"] = { one };', "}",
        "{", 'const all = modules["core/a.js"];', 'const { one, two: zwei, } = modules["core/b.js"];',
        'const later = Promise.resolve(modules["core/c.js"]);', "", 'modules["main.js"] = {  };', "}", "",
    ]  # fmt: skip


def test_modules_in_a_circle_are_refused() -> None:
    circle = {
        "main.js": 'import { a } from "./a.js";\n',
        "a.js": 'import { main } from "./main.js";\nexport const a = main;\n',
    }
    with pytest.raises(ValueError, match=r"main\.js"):
        joined_script(circle, "main.js")


def test_every_module_of_the_dashboard_is_in_it() -> None:
    script = files.file("joined.js")
    assert script is not None
    text = script.body.decode()
    assert 'modules["core/timeline.js"] = {' in text
    assert text.count('modules["components/json.js"] = {') == 1
    assert "import " not in text.split("Preact")[0]
