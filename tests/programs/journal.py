"""Records a run of a program: its story, its effects, and the rules that it broke."""

import asyncio
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

from atomic.domain.steps import Step
from atomic.protocol.enums import Status
from atomic.testing.virtual_time import EPOCH_MS
from programs.ledger import Effect
from programs.library import said_in
from programs.outcome import LASTING, OWN, UNSURE, Done, Outcome, ended_with, failed_by
from programs.plain_batches import LOSER
from programs.simple import AT_MOST

# Longer than the longest back-off of the first retries.
_CALLED_AGAIN_S: Final = 30.0
# How long a run that is cancelled has to undo what it did.
WITHIN_MS: Final = 24 * 3600 * 1000
# The longest time-out of an attempt, and the time until a step is rechecked.
_ENDS_WITHIN_MS: Final = 120_000
# The SDK's own values.
_RECORDS: Final = ("end of ", "begin of ")


class Journal:
    """The journal of one run; `rows` are the rows of the store."""

    def __init__(self, rows: Mapping[str, Step]) -> None:
        self.rows = rows
        self.story: list[str] = []
        self.wrong: list[str] = []
        self.effects: dict[tuple[str, str], Effect] = {}
        # When the run was cancelled.
        self.cancelled_s: float | None = None
        # The steps whose post arrived so late that their race was over.
        self.came_late: set[str] = set()
        # When an attempt of a step failed, and the unfinished steps that its handlers were told of since it
        # began.
        self._failed_s: dict[str, float] = {}
        self._told: defaultdict[str, set[str]] = defaultdict(set)

    def note(self, text: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{_now_s():12.3f} {text}")

    def name(self, step_id: str) -> str:
        """The name of a step in the story."""
        return f"{self.step_name(step_id)}[{step_id[-4:]}]"

    def step_name(self, step_id: str) -> str:
        """The name of a step's function, or of an event."""
        row = self.rows[step_id]
        return row.spec.url.rpartition("/")[2] or _name_of(row)

    def did(self, effect: Effect) -> None:
        """A step had its effect."""
        self.effects[effect.step, effect.key] = effect
        if effect.step in {"book", "perhaps_book"}:
            self._check_is_not_undone(effect)
        self.note(f"{effect.name} is done under {effect.key}")

    def told(self, step_id: str, other_id: str) -> None:
        """A handler of the step was told that another one is unfinished."""
        self._told[step_id].add(other_id)

    def failed(self, step_id: str) -> None:
        """An attempt of the step failed, from Atomic's point of view."""
        self._failed_s[step_id] = _now_s()

    def called(self, step_id: str) -> None:
        """The step is called.

        After a failure this must be soon, or when a step settles that it was told of.
        """
        failed_s = self._failed_s.pop(step_id, _now_s())
        ends = [self._ended_s(other_id) for other_id in self._told.pop(step_id, ())]
        waited_s = _now_s() - max(failed_s, min(ends, default=failed_s))
        if waited_s > _CALLED_AGAIN_S:
            self.wrong.append(f"{self.name(step_id)} failed, and was called again after {waited_s:.0f} s")

    def outcome(self, root: Step) -> Outcome:
        """The outcome according to the rows and the effects."""
        done = Done()
        done.count(self.effects.values(), self._handler_of)
        done.waits.update(filter(None, map(_told_of, self.rows.values())))
        while root.continued_as is not None:
            root = self.rows[root.continued_as]
        said = root.response.text.decode() if root.response else "null"
        if root.status is Status.SUCCEEDED:
            return Outcome(ended_with(json.loads(said)), done)
        return Outcome(failed_by(said_in(f"{root.error} {said}") or f"{root.error}"), done)

    def check_batches(self) -> None:
        """Steps of a name `at most 2 …` were unfinished two at a time, and no loser of a race goes on."""
        groups: defaultdict[tuple[str, str], list[Step]] = defaultdict(list)
        for row in self.rows.values():
            name = _name_of(row)
            if (
                name.rpartition(": ")[2] == LOSER
                and row.status is not Status.CANCELLED
                and row.id not in self.came_late
            ):
                self.wrong.append(f"{self.name(row.id)} has lost its race, and is {row.status}")
            if name.startswith(AT_MOST):
                groups[row.spec.parent, name].append(row)
        for (_, name), rows in groups.items():
            most, unfinished = int(name.removeprefix(AT_MOST).split()[0]), _most_unfinished(rows)
            if unfinished > most:
                self.wrong.append(f"{unfinished} steps {name!r} were unfinished at a time")

    def check_sagas(self) -> None:
        """What was called beside a failure, in a block that raised, is undone."""
        undone = {self._what(effect) for effect in self.effects.values() if effect.step == "perhaps_unbook"}
        for effect in self.effects.values():
            if effect.step == "perhaps_book" and self._what(effect) not in undone:
                self.wrong.append(f"{effect.name} is not undone")

    def check_runs(self) -> None:
        """A link creates one run at most. It takes this run with it when it is cancelled, and no other."""
        created: Counter[str] = Counter()
        for root in self.rows.values():
            if root.spec.started_by is None or root.spec.parent is not None:
                continue
            link = self.rows[root.spec.started_by]
            created[link.id] += root.spec.continued_from is None
            is_left = link.status is not Status.CANCELLED or link.spec.keeps_child or link.spec.detached
            if is_left and root.status is Status.CANCELLED:
                self.wrong.append(f"{self.name(root.id)} is cancelled, and its link is {link.status}")
            if not is_left and root.status is not Status.CANCELLED:
                self.wrong.append(f"{self.name(root.id)} is {root.status}, and its link is cancelled")
        for link_id, number in created.items():
            if number > 1:
                self.wrong.append(f"{self.name(link_id)} has created {number} runs")

    def check_cancelled(self, root_id: str) -> None:
        """The run has ended in time, and each of its workflows is undone unless it has succeeded."""
        # In whole milliseconds, as the engine counts.
        by_ms = EPOCH_MS + round(1000 * (self.cancelled_s or 0.0)) + WITHIN_MS
        undone = {self._what(effect) for effect in self.effects.values() if effect.step == "unbook"}
        for row in self.rows.values():
            is_own = row.spec.run_id == self.rows[root_id].spec.run_id and row.spec.kind == "http"
            if is_own and not row.is_settled:
                self.wrong.append(f"{self.name(row.id)} is {row.status}, and its run was cancelled")
            if is_own and (row.finished_at_ms or 0) > by_ms + _ENDS_WITHIN_MS:
                self.wrong.append(f"{self.name(row.id)} has ended too late")
        for effect in self.effects.values():
            handler = self.rows[self._handler_of(effect)]
            is_own = effect.step == "book" and effect.shown[0] == OWN
            if not is_own or (handler.finished_at_ms or math.inf) >= by_ms:
                continue
            if (self._what(effect) in undone) is (handler.status is Status.SUCCEEDED):
                has = "is" if handler.status is Status.SUCCEEDED else "is not"
                self.wrong.append(
                    f"{effect.name} {has} undone, and {self.name(handler.id)} {handler.status}"
                )

    def _check_is_not_undone(self, effect: Effect) -> None:
        """No call has its effect after its undo."""
        for other in self.effects.values():
            if other.step == effect.step.replace("book", "unbook") and self._what(other) == self._what(
                effect
            ):
                self.wrong.append(f"{effect.name} is done after its undo")

    def _what(self, effect: Effect) -> tuple[object, ...]:
        """The handler, saga and call of an effect."""
        return (self._handler_of(effect), *effect.shown[:2])

    def _handler_of(self, effect: Effect) -> str:
        return self.rows[effect.step_id].spec.parent or ""

    def _ended_s(self, step_id: str) -> float:
        ended_ms = self.rows[step_id].finished_at_ms
        return math.inf if ended_ms is None else (ended_ms - EPOCH_MS) / 1000


def _most_unfinished(rows: list[Step]) -> int:
    moments = [(row.created_at_ms, 1) for row in rows]
    moments += [(row.finished_at_ms, -1) for row in rows if row.finished_at_ms is not None]
    # At one moment, ends count before beginnings.
    return max(accumulate(change for _, change in sorted(moments)))


def _name_of(row: Step) -> str:
    """The name that the program gives to a step. The second event of a name is called `name#2`."""
    name = row.spec.step_name
    return name.partition("#")[0] if row.spec.kind == "event" else name


def _told_of(row: Step) -> str:
    """How a row is counted: a timer, an event, a value, or a step with a name; "" if it is not compared.

    What the branch of a race calls is named after the branch, which may end before it has posted.
    """
    spec = row.spec
    branch, _, name = _name_of(row).rpartition(": ")
    function = spec.url.rpartition("/")[2]
    if branch.startswith(LOSER) or name in {LOSER, LASTING} or name.startswith(_RECORDS):
        return ""
    if row.early == "unopened" or (spec.kind == "value" and spec.parent is None):
        # What the world has told, and no handler has asked for; and the note of a message.
        return ""
    match spec.kind:
        case "timer":
            return f"timer {spec.delay_ms} {name}"
        case "run":
            return f"run {spec.child_name}"
        case "event" | "value":
            return f"{spec.kind} {name}"
    is_compared = name not in {"", function} and function not in UNSURE
    return f"step {name}" if is_compared else ""


def _now_s() -> float:
    return asyncio.get_running_loop().time()
