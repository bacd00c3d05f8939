"""Writes the dashboard's core/enums.js from the enumerations in `atomic.protocol.enums`.

python scripts/dashboard_enums.py
"""

import json
from pathlib import Path
from typing import Final

from atomic.protocol.enums import KINDS, LIVE, SETTLED, OutcomeKind, Status

MODULE: Final = Path(__file__).parents[1] / "layers/atomic/atomic/dashboard/static/core/enums.js"
_HEAD: Final = """\
// The words of the wire, made from protocol/enums.py by `make openapi`. A server may be newer than a page
// that is open: whoever looks a word up has something to say of one that is not listed here.
"""
_LISTS: Final = {
    "STATUSES": tuple(Status),
    "LIVE": tuple(status for status in Status if status in LIVE),
    "SETTLED": tuple(status for status in Status if status in SETTLED),
    "KINDS": KINDS,
    "OUTCOMES": tuple(OutcomeKind),
}


def module() -> str:
    """The text of the module."""
    lists = [f"export const {name} = {json.dumps(words)};\n" for name, words in _LISTS.items()]
    return "\n".join([_HEAD, *lists])


if __name__ == "__main__":
    MODULE.write_text(module(), encoding="utf-8")
