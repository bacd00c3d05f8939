"""Checks a commit message. pre-commit calls this script with the file that holds the message.

    python scripts/commit_subject.py .git/COMMIT_EDITMSG

A subject must be imperative, which a program cannot check. This script checks the rest: the subject starts
with a capital letter, has at most 72 characters and no full stop at its end, and an empty line follows it.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SUBJECT_MAX_CHARS: Final = 72
# `git rebase --autosquash` removes these prefixes.
_PASSING: Final = re.compile(r"(?:(?:fixup|squash|amend)! )+")
# `git commit --verbose` shows the diff below this line.
_SCISSORS: Final = re.compile(r"^# -+ >8 -+\n.*", re.MULTILINE | re.DOTALL)


def faults_of(message: str) -> list[str]:
    """What is wrong with a commit message, as sentences for its author; empty if nothing is."""
    written = _SCISSORS.sub("", message)
    lines = [line.rstrip() for line in written.splitlines() if not line.startswith("#")]
    while lines and not lines[0]:
        del lines[0]
    if not lines:
        return ["the message is empty"]
    subject = _PASSING.sub("", lines[0])
    faults = []
    if len(subject) > SUBJECT_MAX_CHARS:
        faults.append(f"the subject has {len(subject)} characters; {SUBJECT_MAX_CHARS} are the most")
    if not subject[:1].isupper():
        faults.append("the subject does not start with a capital letter")
    if subject.endswith("."):
        faults.append("the subject ends with a full stop")
    if len(lines) > 1 and lines[1]:
        faults.append("an empty line is missing below the subject")
    return faults


def main(arguments: Sequence[str]) -> int:
    """Check the message in the file of the first argument; return 1 if something is wrong with it."""
    (path,) = arguments
    faults = faults_of(Path(path).read_text(encoding="utf-8"))
    for fault in faults:
        print(f"commit message: {fault}", file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
