"""Retired names do not return in the code, nor figures of speech in the pages. See docs/glossary.md."""

import io
import re
import subprocess
import tokenize
from pathlib import Path
from typing import Final

import pytest

REPO: Final = Path(__file__).parents[2]
# Retired names, or parts of names, and the word that replaced each.
RETIRED: Final = {
    "hint": "wakeup",
    "hints": "wakeups",
    "hang": "wait",
    "hangs": "waits",
    "hanging": "waiting",
    "home": "runtime",
    "homes": "runtimes",
    "boss": "parent",
    "hushed": "without_error_excerpt",
    "ear": "subscription",
    "news": "subscription",
    "mission": "user_creation",
    "orphaned": "owner_lost",
}
# Retired names, as a whole.
RETIRED_NAMES: Final = {
    "KnownRun": "CachedRun",
    "PutOff": "NotAdmitted",
    "RunMemory": "RunCache",
    "StoredBytes": "StorageMeter",
    "gaveUpBefore": "failedBefore",
    "gave_up": "failed",
    "leave_waiter": "register_waiter",
    "put_off": "deferred",
    "put_off_at_ms": "dated_at_ms",
    "deferred_at_ms": "dated_at_ms",
    "run_memory": "runs",
    "without_words": "without_excerpt",
}
# Names that other projects define.
THEIRS: Final = frozenset({"get_type_hints", "param_hint", "HOME", "homepage", "DJANGO_HOME"})
PHRASES: Final = (
    r"\bhints?\b",
    r"\bhangs?\b",
    r"\bhanging\b",
    r"\bin vain\b",
    r"\bgave up\b",
    r"\bgives up\b",
    r"\bthe house\b",
    r"\bmission\b",
    r"\bbegin so\b",
    r"\bnews\b",
    r"\bfor good\b",
    r"\bfor real\b",
    r"\bwho dies\b",
    r"\bstands? so\b",
    r"\bretry is paid\b",
    r"\bg(ave|ives?|iven) up\b",
    r"\bknock(s|ed)? at\b",
    r"\b(worked|broken?|breaks?) off\b",
    r"\bbelongs? into\b",
    r"\bthis once\b",
    r"\bwhat came of\b",
    r"\bno key opens\b",
    r"\bopens (its|the) client\b",
    r"\b[Ww]ho (asks|is refused|is told|starts|waits)\b",
    r"\bAtomic's homes?\b",
    r"\b(embedded|other|another|every|each|this|that|AWS) homes?\b",
)


# Also banned in pages, but not in decisions, which keep their original wording.
FIGURES: Final = (
    r"\bmend(s|ed|ing)?\b",
    r"\b[Ww]hoever\b",
    r"\bfar side\b",
    r"\bpays? (no|a|for its) retry\b",
    r"\bput off\b",
    r"\bwithout a word\b",
    r"\b(stood|stands?) in line\b",
    r"\b[Nn]obody (answers|asks|completed|knows|learns|looks|waits|wants)\b",
)
# Folders whose comments, docstrings and messages are checked against both lists.
PLAIN_ROOMS: Final = (
    "adapters",
    "application",
    "cli",
    "domain",
    "entrypoints",
    "protocol",
    "runtime",
    "sdk",
    "testing",
)


def tracked(*patterns: str) -> list[Path]:
    """The tracked files that match, except vendored ones."""
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=REPO, capture_output=True, text=True, check=True
    )
    return [
        REPO / name
        for name in listed.stdout.splitlines()
        if "vendor" not in name and (REPO / name).exists()
    ]


def names_of(path: Path) -> set[str]:
    """The names in a Python file."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def retired_in(name: str) -> str | None:
    """The replacement of a retired name; None for any other name."""
    if name in THEIRS:
        return None
    if name in RETIRED_NAMES:
        return RETIRED_NAMES[name]
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return next((RETIRED[part.lower()] for part in parts if part.lower() in RETIRED), None)


@pytest.mark.parametrize("folder", ["layers", "functions", "tests", "benchmarks", "examples", "scripts"])
def test_no_retired_name_comes_back(folder: str) -> None:
    paths = [path for path in tracked(f"{folder}/**.py") if path != Path(__file__)]
    assert paths
    found = {
        f"{path.relative_to(REPO)}: {name}": instead
        for path in paths
        for name in names_of(path)
        if (instead := retired_in(name)) and not _is_path_home(path, name)
    }
    assert found == {}


def _is_path_home(path: Path, name: str) -> bool:
    """`Path.home()` of the standard library."""
    return name == "home" and not re.search(r"(?<!Path\.)\bhome\b(?!\()", _code_of(path))


def _code_of(path: Path) -> str:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    skipped = {tokenize.COMMENT, tokenize.STRING, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
    return "".join(token.string if token.type not in skipped else " " for token in tokens)


def phrases_in(path: Path, text: str, phrases: tuple[str, ...]) -> list[str]:
    """Where the text has one of the phrases, except in inline code."""
    return [
        f"{path.relative_to(REPO)}:{number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        for phrase in phrases
        if (match := re.search(phrase, re.sub(r"`[^`]*`", "", line)))
    ]


def test_no_retired_phrase_comes_back() -> None:
    pages = [page for page in tracked("*.md", "docs/*.md") if page.name != "CHANGELOG.md"]
    found = [
        line
        for page in pages
        for line in phrases_in(
            page, page.read_text(), PHRASES if "decisions" in page.parts else PHRASES + FIGURES
        )
    ]
    assert found == []


@pytest.mark.parametrize("room", PLAIN_ROOMS)
def test_comments_and_messages_have_no_retired_phrase(room: str) -> None:
    paths = tracked(f"layers/atomic/atomic/{room}/**.py")
    assert paths
    found = [line for path in paths for line in phrases_in(path, _prose_of(path), PHRASES + FIGURES)]
    assert found == []


def test_the_dashboard_has_no_retired_phrase() -> None:
    static = "layers/atomic/atomic/dashboard/static"
    paths = tracked(f"{static}/**.js", f"{static}/**.css", f"{static}/**.html")
    assert paths
    found = [line for path in paths for line in phrases_in(path, path.read_text(), PHRASES + FIGURES)]
    assert found == []


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "scripts", "examples", "functions"])
def test_comments_and_docstrings_around_the_package_have_no_retired_phrase(folder: str) -> None:
    paths = [path for path in tracked(f"{folder}/**.py") if path != Path(__file__)]
    assert paths
    found = [
        line
        for path in paths
        for line in phrases_in(path, _prose_of(path, with_values=False), PHRASES + FIGURES)
    ]
    assert found == []


def _prose_of(path: Path, *, with_values: bool = True) -> str:
    """Only the comments and strings of a file, each on its line; without values, only docstrings."""
    source = path.read_text()
    lines = [""] * (source.count("\n") + 1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_prose = token.type == tokenize.COMMENT or (
            token.type == tokenize.STRING and (with_values or token.line.lstrip().startswith('"""'))
        )
        if is_prose:
            for number, part in enumerate(token.string.splitlines(), token.start[0] - 1):
                lines[number] += f"{part} "
    return "\n".join(lines)


def test_the_test_finds_what_it_looks_for() -> None:
    assert retired_in("send_hint") == "wakeup"
    assert retired_in("HintQueue") == "wakeup"
    assert retired_in("hang_ms") == "wait"
    assert retired_in("change") is None
    assert retired_in("get_type_hints") is None
    page = REPO / "docs" / "page.md"
    assert phrases_in(page, "so\nwhoever asks in vain", PHRASES + FIGURES) == [
        "docs/page.md:2: in vain",
        "docs/page.md:2: whoever",
    ]
    assert phrases_in(page, "`whoever`", FIGURES) == []
