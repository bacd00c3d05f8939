"""The modules of the dashboard as a few scripts: one that every page needs, and a part for each view.

Sixty small files would each have a head, wait for a connection, and be compressed alone. The modules stay
as they are written: each becomes a block, its imports and exports become members of one object. Their forms
are those that the tests of the dashboard's modules allow. Comments and indentation are left out.
"""

import hashlib
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
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


def joined_scripts(modules: Mapping[str, str], first: str) -> dict[str, str]:
    """The scripts by their names. `modules` are texts by their paths.

    `joined.js` is the module `first` and all that it imports. A module that is imported later, by
    `import()`, is the part `joined-FOLDER-NAME.js`, with what it needs besides; it may have parts, too.
    Parts may share modules, of which the one that comes first is taken. A part refuses to join modules of
    another version.
    """
    version = hashlib.blake2b("".join(modules.values()).encode(), digest_size=8).hexdigest()
    check = f'if (modules.version !== "{version}") throw new Error("This part is of another version.");\n'
    blocks = _blocks(modules, first, {})
    scripts = {"joined.js": f'const modules = {{ version: "{version}" }};\n' + "".join(blocks.values())}
    left = _later(modules, blocks)
    while left:
        # In the same order in each process, because the name of the version depends on it.
        left.remove(path := min(left))
        needed = _blocks(modules, path, blocks)
        left |= {each for each in _later(modules, needed) if _part(each) not in scripts}
        added = "".join(f'if (!modules["{name}"]) {block}' for name, block in needed.items())
        scripts[_part(path)] = (
            f'export default (modules) => {{\n{check}{added}return modules["{path}"];\n}};\n'
        )
    return scripts


def _later(modules: Mapping[str, str], blocks: Iterable[str]) -> set[str]:
    """The paths of what these modules import later."""
    return {_beside(each, to) for each in blocks for to in _LATER.findall(modules[each])}


def _part(path: str) -> str:
    return "joined-" + path.replace("/", "-")


def _beside(path: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


def _blocks(modules: Mapping[str, str], first: str, known: Mapping[str, str]) -> dict[str, str]:
    """The blocks of a module and of all that it imports, without those that are known."""
    blocks: dict[str, str] = {}

    def add(path: str) -> str:
        """The member of a module, whose block stands before those of the modules that import it."""
        if path not in blocks and path not in known:
            blocks[path] = ""
            block = _block(path, modules[path], add)
            # Behind those that it imports, which came meanwhile.
            del blocks[path]
            blocks[path] = block
        elif path in blocks and not blocks[path]:
            raise ValueError(f"{path} imports itself")
        return f'modules["{path}"]'

    add(first)
    return blocks


def _block(path: str, text: str, add: Callable[[str], str]) -> str:
    exported: list[str] = []

    def later(found: re.Match[str]) -> str:
        return f'import("./{_part(_beside(path, found[1]))}").then((part) => part.default(modules))'

    def imported(found: re.Match[str]) -> str:
        whole, names, name = found.groups()
        if found[0].startswith("export"):
            exported.extend(each.strip() for each in names.split(","))
        return f"const {whole or _renamed(names)} = {add(_beside(path, name))};\n"

    def own(found: re.Match[str]) -> str:
        name, names = found.groups()
        exported.extend([name] if name else map(_turned, names.split(",")))
        return ""

    if not path.startswith(_VENDORED):
        text = _COMMENTS.sub("", text)
    text = _IMPORT.sub(imported, text)
    text = _LATER.sub(later, text)
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
