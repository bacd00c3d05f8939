"""Writes the dashboard's core/enums.js from the enumerations in `atomic.protocol.enums`.

python scripts/dashboard_enums.py
"""

import json
from pathlib import Path
from typing import Final

from atomic.protocol.enums import KINDS, LIVE, SETTLED, OutcomeKind, Status

MODULE: Final = Path(__file__).parents[1] / "layers/atomic/atomic/dashboard/static/core/enums.js"
_HEAD: Final = """\
// The enumerations of the wire, generated from protocol/enums.py by `make openapi`. A server may be newer
// than an open page, so code that looks up a value must also handle one that is not listed here.
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
