"""The files of the dashboard as they are served, and the name of their version.

All files are below a path with the version, so a browser may keep them for ever, and an update of the
server has other paths.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from atomic.dashboard.joined import joined_scripts

# Fixed here, because the standard library's guess depends on the machine.
_CONTENT_TYPES: Final = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
# The allowed names of files and folders. None of them leads out of the folder.
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9]+)?")
_VERSION: Final = re.compile(r"v[0-9a-f]{16}")
_PAGE: Final = "index.html"
_FIRST_MODULE: Final = "main.js"
# In the order in which the later ones take precedence. The page of a run does without the second one.
_SHEETS: Final = {
    "joined.css": ("tokens", "base", "components", "acting", "run", "touch"),
    "joined-lists.css": ("problems", "views", "flow", "schedules"),
}
# Of style sheets. They are a fifteenth of what a page loads of them.
_COMMENTS: Final = re.compile(r" */\*.*?\*/\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class File:
    """A file, plain and by gzip."""

    content_type: str
    body: bytes
    packed: bytes


@cache
def version() -> str:
    """The version of all files: it changes with any of them, and with how they are joined."""
    digest = hashlib.blake2b("".join(joined().values()).encode(), digest_size=8)
    for name, body in _all(_folder()):
        digest.update(f"{name} {len(body)} ".encode() + body)
    return f"v{digest.hexdigest()}"


@cache
def file(*path: str) -> File | None:
    """The file at this path, or what is joined under this name; None if there is none."""
    found = _folder().joinpath(*path)
    if len(path) == 1 and path[0] in joined():
        body = joined()[path[0]].encode()
    elif all(map(_NAME.fullmatch, path)) and found.is_file():
        body = found.read_bytes()
    else:
        return None
    content_type = f"{_CONTENT_TYPES[path[-1].rpartition('.')[2]]}; charset=utf-8"
    return File(content_type, body, gzip.compress(body, 9, mtime=0))


def page() -> bytes:
    """The page, which loads its files by their version."""
    return _folder().joinpath(_PAGE).read_bytes().replace(b'"/static/', f'"/static/{version()}/'.encode())


def without_version(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path of a file without the version that it may begin with."""
    return path[1:] if len(path) > 1 and _VERSION.fullmatch(path[0]) else path


@cache
def joined() -> dict[str, str]:
    """The texts of the files that are made of others, by their names."""
    modules = {name.strip("/"): body.decode() for name, body in _all(_folder()) if ".js/" in name}
    sheets = {name: "".join(map(_sheet, parts)) for name, parts in _SHEETS.items()}
    return {**joined_scripts(modules, _FIRST_MODULE), **sheets}


def _sheet(name: str) -> str:
    return _COMMENTS.sub("", _folder().joinpath("styles", f"{name}.css").read_text())


def _folder() -> Traversable:
    return resources.files("atomic.dashboard").joinpath("static")


def _all(folder: Traversable) -> list[tuple[str, bytes]]:
    """The names and bytes of the files in a folder and below it, in order."""
    files: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        below = _all(entry) if entry.is_dir() else [("", entry.read_bytes())]
        files += [(f"{entry.name}/{name}", body) for name, body in below]
    return files
