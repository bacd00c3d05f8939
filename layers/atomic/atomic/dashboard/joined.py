"""All modules of the dashboard as one script, and all style sheets as one.

Forty small files would each have a head, wait for a connection, and be compressed alone. The modules stay
as they are written: each becomes a block, its imports and exports become members of one object. Their forms
are those that the tests of the dashboard's modules allow. Comments and indentation are left out.
"""

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Final

_IMPORT: Final = re.compile(
    r'^(?:import|export) (?:\* as (\w+)|\{([^}]*)\}) from "([^"]+)";\n', re.MULTILINE
)
_LATER: Final = re.compile(r'(?<![\w.])import\("([^"]+)"\)')
_EXPORT: Final = re.compile(
    r"^export (?=(?:async function|function|const|class) (\w+))|(?<![\w.])export ?\{([^}]*)\};?$",
    re.MULTILINE,
)
_COMMENTS: Final = re.compile(r"^ *(?://.*|/\*\*(?s:.*?)\*/)\n|^ +", re.MULTILINE)
_VENDORED: Final = "vendor/"


def joined_script(modules: Mapping[str, str], first: str) -> str:
    """One script of the module `first` and all that it imports. `modules` are texts by their paths."""
    blocks: dict[str, str] = {}

    def add(path: str) -> str:
        """The member of a module, whose block stands before those of the modules that import it."""
        if path not in blocks:
            blocks[path] = ""
            block = _block(path, modules[path], add)
            # Behind those that it imports, which came meanwhile.
            del blocks[path]
            blocks[path] = block
        elif not blocks[path]:
            raise ValueError(f"{path} imports itself")
        return f'modules["{path}"]'

    add(first)
    return "const modules = {};\n" + "".join(blocks.values())


def _block(path: str, text: str, add: Callable[[str], str]) -> str:
    exported: list[str] = []

    def other(name: str) -> str:
        return add(posixpath.normpath(posixpath.join(posixpath.dirname(path), name)))

    def imported(found: re.Match[str]) -> str:
        whole, names, name = found.groups()
        if found[0].startswith("export"):
            exported.extend(each.strip() for each in names.split(","))
        return f"const {whole or _renamed(names)} = {other(name)};\n"

    def own(found: re.Match[str]) -> str:
        name, names = found.groups()
        exported.extend([name] if name else map(_turned, names.split(",")))
        return ""

    if not path.startswith(_VENDORED):
        text = _COMMENTS.sub("", text)
    text = _IMPORT.sub(imported, text)
    text = _LATER.sub(lambda found: f"Promise.resolve({other(found[1])})", text)
    text = _EXPORT.sub(own, text)
    return f'{{\n{text}\nmodules["{path}"] = {{ {", ".join(exported)} }};\n}}\n'


def _renamed(names: str) -> str:
    """`a as b` of an import as a destructuring has it: `a: b`."""
    listed = " ".join(re.sub(r"\s+as\s+", ": ", names).split())
    return f"{{ {listed} }}"


def _turned(name: str) -> str:
    """`a as b` of an export as an object has it: `b: a`."""
    inner, _, outer = name.strip().partition(" as ")
    return f"{outer}: {inner}" if outer else inner
