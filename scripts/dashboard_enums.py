"""Writes the dashboard's core/enums.js from `atomic.protocol`: its enumerations, actions and names.

python scripts/dashboard_enums.py
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from atomic.protocol import keys
from atomic.protocol.actions import ACTIONS
from atomic.protocol.enums import KINDS, LIVE, SETTLED, STATES, WAITS_FOR, OutcomeKind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.wire import to_camel

MODULE: Final = Path(__file__).parents[1] / "layers/atomic/atomic/dashboard/static/core/enums.js"
_HEAD: Final = """\
// The enumerations of the wire, the actions of operators and reserved names, generated from protocol/ by
// `make openapi`. A server may be newer than an open page, so code that looks up a
// value must also handle one that is not listed here.
"""
_LISTS: Final[dict[str, Any]] = {
    "STATUSES": tuple(Status),
    "LIVE": tuple(status for status in Status if status in LIVE),
    "SETTLED": tuple(status for status in Status if status in SETTLED),
    "TONES": {status: state.tone for status, state in STATES.items()},
    "WAITS_FOR": WAITS_FOR,
    "ERROR_KINDS": tuple(ErrorKind),
    "KINDS": KINDS,
    "OUTCOMES": tuple(OutcomeKind),
    # How the names of workflows begin whose runs Atomic itself starts.
    "RESERVED_NAMES": keys.RESERVED_NAMES,
    "ACTIONS": [{to_camel(name): value for name, value in asdict(action).items()} for action in ACTIONS],
}
# Of a value that stands beside its name.
_LINE_MAX: Final = 80


def module() -> str:
    """The text of the module."""
    return "\n".join(
        [_HEAD, *(f"export const {name} = {_json(value)};\n" for name, value in _LISTS.items())]
    )


def _json(value: Any) -> str:
    line = json.dumps(value)
    return line if len(line) <= _LINE_MAX else json.dumps(value, indent=2)


if __name__ == "__main__":
    MODULE.write_text(module(), encoding="utf-8")
