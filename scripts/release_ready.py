"""Names what a release still lacks, and what only the public address of the project can bring.

`python scripts/dist_check.py FOLDER --release` refuses a release until there is nothing left.
"""

import json
import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# A link or a picture of Markdown that is no URL and no part of the same page.
_RELATIVE: Final = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s]+)\)")
_DOCKERFILE: Final = "deploy/docker/Dockerfile"


def lacking(repo: Path, wheel: Path) -> list[str]:
    """What is missing, a sentence each: the field, why it is needed, and its form."""
    return [*_address(repo), *_links(wheel), *_base(repo)]


def _address(repo: Path) -> Iterator[str]:
    package = json.loads((repo / "typescript/package.json").read_text())
    repository = package.get("repository", {})
    url = repository.get("url", "") if isinstance(repository, dict) else repository
    if not url:
        yield (
            "typescript/package.json has no `repository`, and npm refuses --provenance without it: "
            '{"type": "git", "url": "git+https://github.com/OWNER/NAME.git", "directory": "typescript"}'
        )
    if "urls" not in tomllib.loads((repo / "pyproject.toml").read_text())["project"]:
        yield "pyproject.toml has no `urls` in [project], which PyPI shows: Repository and Changelog"


def _links(wheel: Path) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        described = archive.read(name).decode()
    if found := _RELATIVE.findall(described):
        yield (
            f"README.md has {len(found)} relative links, which lead nowhere on PyPI, such as {found[0]}: "
            "scripts/dist.py has to put the address of the tag before each"
        )


def _base(repo: Path) -> Iterator[str]:
    for image in re.findall(r"^FROM ([\w./-]+:\S+)", (repo / _DOCKERFILE).read_text(), re.MULTILINE):
        if "@sha256:" not in image:
            yield (
                f"{_DOCKERFILE} names {image} by a tag, which can move: "
                f"`docker buildx imagetools inspect {image}` prints its digest, "
                "to be written behind it as @sha256:…"
            )
