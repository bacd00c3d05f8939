"""Spoils the answers with results: what a handler reads of its earlier posts may be anything but false.

Entries are missing, older than they are, cut off or malformed, or have another fingerprint; or nothing
comes.
A response under the right fingerprint is never changed: no reader could tell. A reader of one step is
told the truth, or to ask again.
"""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from atomic.testing import ApiReply
from programs import schedule
from programs.schedule import Schedule

_PROBLEM = b'{"type":"about:blank","title":"Not now","status":503}'


class Readings:
    """Those of one run of a program."""

    def __init__(self, dice: Schedule) -> None:
        self._dice = dice
        self._before: dict[str, ApiReply] = {}

    def told(self, target: str, reply: ApiReply) -> ApiReply:
        """The answer that the handler gets."""
        fault = self._dice.reading()
        before = self._before.get(target, reply)
        is_of_one = "id" in parse_qs(urlsplit(target).query)
        if is_of_one and fault != schedule.FAILS_TO_READ:
            return reply
        if not is_of_one:
            self._before[target] = reply
        match fault:
            case schedule.AS_IT_IS:
                return reply
            case schedule.NONE:
                return replace(reply, status=403, body=_PROBLEM)
            case schedule.FAILS_TO_READ:
                return replace(reply, status=503, body=_PROBLEM)
            case schedule.CUT:
                return replace(reply, body=reply.body[: len(reply.body) // 2])
            case schedule.OLD:
                return before
        document = reply.json
        steps = [self._spoiled(fault, step) for step in document["steps"]]
        document["steps"] = [step for step in steps if step is not None]
        return replace(reply, body=json.dumps(document).encode())

    def _spoiled(self, fault: str, step: dict[str, Any]) -> Any:
        if not self._dice.lost():
            return step
        match fault:
            case schedule.LOSSY:
                return None
            case schedule.MARKED:
                return {**step, "fingerprint": "0" * 64}
            case schedule.MALFORMED:
                return self._dice.below(2) and {**step, "status": 17}
