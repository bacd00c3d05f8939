"""Every error code has its part in docs/troubleshooting.md, and the page has no other parts."""

import re
from collections import Counter
from pathlib import Path

import atomic.sdk
from atomic.entrypoints.http_api.docs_page import docs_page
from atomic.entrypoints.http_api.openapi import openapi
from atomic.entrypoints.http_api.problem_help import HELP
from atomic.protocol import problems
from atomic.sdk import AtomicError, NonRetryable, RetryAfter
from troubleshooting import PAGE, with_problems

ROOT = Path(__file__).parents[2]
TEXT = PAGE.read_text()
SOURCES = "".join(path.read_text() for path in sorted((ROOT / "typescript/src").glob("*.ts")))
# Of the codes that one line of errors.ts matches, as `event-(expired|rejected)`.
CHOICES = "event-expired start-expired event-rejected heartbeat-missed run-failed run-differs run-cycle"


def parts() -> dict[str, str]:
    """The parts of the page about codes, by the code."""
    found = re.split(r"^### (\S+)\n", TEXT.partition("\n## Problems of the API\n")[2], flags=re.MULTILINE)
    assert [code for code, times in Counter(found[1::2]).items() if times > 1] == []
    return dict(zip(found[1::2], found[2::2], strict=True))


def python_classes() -> dict[str, str]:
    """The classes of errors of the Python SDK, by their codes."""
    public = [getattr(atomic.sdk, name) for name in atomic.sdk.__all__]
    kinds = [kind for kind in public if isinstance(kind, type) and issubclass(kind, AtomicError)]
    return {kind.code: kind.__name__ for kind in (*kinds, NonRetryable, RetryAfter)}


def typescript_codes() -> set[str]:
    """The codes that the TypeScript SDK gives to its errors; those of problems come from the server."""
    made = set(re.findall(r'(?:new \w*Error|super)\(\s*"([a-z-]+)"', SOURCES))
    # Classes that extend nothing of the SDK state their code, or the codes that they may have.
    for stated in re.findall(r'readonly code(?: =|:) ((?:"[a-z-]+"(?: \| )?)+)', SOURCES):
        made |= set(re.findall(r'"([a-z-]+)"', stated))
    foreign = re.findall(r'const code = (.*"refused");', SOURCES)
    assert len(foreign) == 1
    matched = set(CHOICES.split())
    [choices] = re.findall(r"const OF_ITS_OWN = /(.+)/;", SOURCES)
    assert all(re.fullmatch(choices, code) for code in matched)
    assert choices.count("|") + 1 == len(matched)
    return made | matched | set(re.findall(r'"([a-z-]+)"', foreign[0]))


def test_the_server_says_something_about_each_problem() -> None:
    assert HELP.keys() == set(problems.ALL)
    assert [kind.name for kind, about in HELP.items() if not all(about)] == []
    assert [why for why, count in Counter(about.why for about in HELP.values()).items() if count > 1] == []


def test_the_page_of_the_server_has_a_part_about_each_code() -> None:
    page = docs_page(openapi())
    codes = {kind.name for kind in problems.ALL} | python_classes().keys() | typescript_codes()
    assert [code for code in sorted(codes) if page.count(f'<section id="{code}">') != 1] == []


def test_the_page_says_the_same() -> None:
    assert with_problems(TEXT) == TEXT, "run `make troubleshooting`"


def test_every_code_has_its_part_and_no_part_is_of_a_code_that_is_gone() -> None:
    codes = {kind.name for kind in problems.ALL} | python_classes().keys() | typescript_codes()
    assert parts().keys() == codes


def test_the_parts_stand_in_the_order_of_the_alphabet() -> None:
    of_problems = [code for code in parts() if code in {kind.name for kind in problems.ALL}]
    of_sdks = [code for code in parts() if code not in of_problems]
    assert list(parts()) == sorted(of_problems) + sorted(of_sdks)


def test_a_part_names_the_class_that_has_its_code() -> None:
    for code, name in python_classes().items():
        assert f"Python: `{name}`" in parts()[code], code


def test_the_classes_that_the_page_names_exist() -> None:
    classes = set(re.findall(r"export class (\w+)", SOURCES))
    for code, text in parts().items():
        named = re.findall(r"Python: `(\w+)`", text)
        assert all(hasattr(atomic.sdk, name) for name in named), code
        assert set(re.findall(r"TypeScript: `(\w+)`", text)) <= classes, code


def test_both_sdks_name_the_page() -> None:
    assert AtomicError("").help == f"{PAGE.name}#error"
    assert f"`{PAGE.name}#${{code}}`" in SOURCES
