"""The commands of `atomic` and `aws` in a page, read as a shell would, and checked without being run."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import botocore.session
import click
from botocore import xform_name

from atomic.cli.main import main
from docs.pages import blocks_of

# Options of the AWS CLI itself, and commands of it that are no single operation of a service.
_GLOBAL: Final = {"cli-binary-format", "endpoint-url", "output", "profile", "query", "region"}
_OF_THE_CLI: Final = {"configure", "sso", "cloudformation deploy", "s3 rb", "s3 sync"}
_ENDS: Final = re.compile(r"[;|&(){}<>]+|do|done")
_SESSION: Final = botocore.session.get_session()


def commands_of(page: Path) -> Iterator[list[str]]:
    """Each command of `atomic` or `aws` that a page shows, in its blocks and in its sentences."""
    for block in blocks_of(page):
        yield from commands_in(block.text)
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for code in re.findall(r"`((?:atomic|aws) [^`]*)`", prose):
        yield from commands_in(code)


def commands_in(text: str) -> Iterator[list[str]]:
    """The commands in lines of a shell; those inside of `$(…)` are commands, too."""
    text = text.replace("\\\n", " ")
    while inner := re.search(r"\$\(([^()]*)\)|\$\(\([^()]*\)\)", text):
        yield from commands_in(inner[1] or "")
        text = text[: inner.start()] + "X" + text[inner.end() :]
    for line in text.splitlines():
        if re.search(r"\b(atomic|aws) ", line):
            yield from _commands(line)


def _commands(line: str) -> Iterator[list[str]]:
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    words: list[str] = []
    for word in [*reader, ";"]:
        if not _ENDS.fullmatch(word):
            words.append(word)
        elif words:
            if words[0] in {"atomic", "aws"}:
                yield words
            words = []


def refusal(command: Sequence[str]) -> str | None:
    """Why the program would refuse these words; None if it would not."""
    program, *words = command
    return _of_atomic(words) if program == "atomic" else _of_aws(words)


def _of_atomic(words: list[str]) -> str | None:
    found: click.Command = main
    while isinstance(found, click.Group):
        if not words or words[0].startswith("--"):
            return None  # prose names a group of commands
        name = words.pop(0)
        inside = found.get_command(click.Context(found), name)
        if inside is None:
            return f"there is no command {name}"
        found = inside
    try:
        found.make_context(found.name, words)
    except click.MissingParameter:
        return None  # prose names a command without its arguments
    except click.UsageError as refused:
        return refused.format_message()
    return None


def _of_aws(words: list[str]) -> str | None:
    service, operation, *options = words
    if {service, f"{service} {operation}"} & _OF_THE_CLI:
        return None
    model: Any = _SESSION.get_service_model(service)
    if operation == "wait":
        known = _SESSION.get_waiter_model(service).waiter_names
        by_name = {xform_name(name, "-"): name for name in known}
        if options[0] not in by_name:
            return f"{service} has no waiter {options[0]}"
        called = _SESSION.get_waiter_model(service).get_waiter(by_name[options[0]]).operation
    else:
        by_name = {xform_name(name, "-"): name for name in model.operation_names}
        if operation not in by_name:
            return f"{service} has no operation {operation}"
        called = by_name[operation]
    asked = model.operation_model(called)
    shape = asked.input_shape
    types = {
        xform_name(name, "-"): each.type_name for name, each in (shape.members if shape else {}).items()
    }
    members = types.keys() | _GLOBAL
    used = {option.removeprefix("--") for option in options if option.startswith("--")}
    unknown = {name for name in used if name not in members and name.removeprefix("no-") not in members}
    if unknown:
        return f"{service} {operation} has no {', '.join(sorted(unknown))}"
    if any(types.get(name) == "blob" for name in used) and "cli-binary-format" not in used:
        return f"{service} {operation} takes base64 without --cli-binary-format raw-in-base64-out"
    if asked.has_streaming_output and any(each.startswith("--") for each in options[-2:]):
        return f"{service} {operation} needs a file for what it answers"
    return None
