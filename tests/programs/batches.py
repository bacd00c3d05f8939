"""Generates maps, batches under a policy, races and conditions.

Where an early end depends on the order in which steps end, a program shows only what does not, and gives
the rest to `hide`: a replay that finds another end gives it another payload, which is refused.
"""

from collections.abc import Sequence
from typing import Final

from programs.language import Block, Line, Statement
from programs.plain_batches import LOSER
from programs.simple import AT_MOST, WORDS, Simple

# Longer than a program takes.
_LONGEST_S: Final = 300 * 24 * 3600


class Batching(Simple):
    """Writes the statements of batches."""

    def _batch(self, depth: int) -> list[Statement]:
        kinds = (self._sure_map, self._told_map, self._told_calls, self._early_end, self._map_of_a_set)
        return self._chance.choice(kinds)()

    def _race(self, depth: int) -> list[Statement]:
        kinds = [self._won, self._won, self._open_race]
        return self._chance.choice([*kinds, self._lost] if self._caught else kinds)()

    def _until(self, depth: int) -> list[Statement]:
        """A check that is a step or a value, and ends with a state, an answer or an error."""
        every = self._chance.choice((0.02, 1, 45, 260_000))
        options = f"every={every}" + self._chance.choice(
            ("", "", ", back_off=2", f", deadline={_LONGEST_S}")
        )
        kind = self._chance.choice(("state", "state", "met", "not met"))
        if kind == "state":
            check = self._chance.choice(("count", "counted"))
            return [self._append(f"{self._await}ctx.until({check}, state=0, {options})")]
        if kind == "met":
            check = self._chance.choice(("add", "double", "answer"))
            return [
                self._append(f"{self._await}ctx.until({check}, {self._chance.randint(1, 9)}, {options})")
            ]
        waited = Line(
            f"{self._await}ctx.until(never, {options}, max_attempts={self._chance.randint(1, 3)})"
        )
        caught = self._append("[error.attempts, error.state]")
        return [Block((("try:", (waited,)), ("except ConditionNotMetError as error:", (caught,))))]

    # Batches

    def _sure_map(self) -> list[Statement]:
        """All items succeed."""
        steps = [
            "add",
            "note",
            "double",
            "shaky",
            *(known.name for known in self._known if not known.may_fail),
        ]
        options = self._concurrent(self._chance.choice((None, None, 1, 2, 3)))
        batch = self._map(self._items(), self._chance.choice(steps), options)
        return [self._append(f"[shown(v) for v in ({batch}).results()]")]

    def _told_map(self) -> list[Statement]:
        """Some of the items fail. Only a map that goes one by one ends early at the same item each time."""
        return [self._append(f"told({self._map(self._items(at_least=1), 'odd', self._policy())})")]

    def _told_calls(self) -> list[Statement]:
        """Calls of steps, and branches."""
        calls = [
            self._call(f"odd, {self._number()}") if self._chance.random() < 0.6 else self._twice()
            for _ in range(self._chance.randint(2, 4))
        ]
        policy = self._policy(is_named=False)
        return [self._append(f"told({self._await}ctx.parallel([{', '.join(calls)}]{policy}))")]

    def _early_end(self) -> list[Statement]:
        """Which items end first depends on time."""
        items, batch = self._items(at_least=3), self._new("batch")
        concurrent = self._concurrent(self._chance.choice((None, 2)))
        if self._chance.random() < 0.5:
            made, least = self._map(items, "maybe", f"{concurrent}, min_successful=2"), "2, 0"
        else:
            made, least = self._map(items, "refuse", f"{concurrent}, tolerated_failures=1"), "0, 2"
        return [
            Line(f"{batch} = {made}"),
            self._append(f"enough({batch}, {least})"),
            self._append(self._step(f"hide, told({batch})")),
        ]

    def _map_of_a_set(self) -> list[Statement]:
        """The order of the items differs in each process; keys identify them."""
        words = ", ".join(f"'{word}'" for word in self._chance.sample(WORDS, self._chance.randint(2, 4)))
        options = self._concurrent(self._chance.choice((None, 1, 2)))
        if self._chance.random() < 0.5:
            batch = self._map(f"{{{words}}}", "upper", f", key=str{options}")
            return [self._append(f"sorted(({batch}).results())")]
        items, batch = self._new("items"), self._new("batch")
        return [
            Line(f"{items} = {{{words}}}"),
            Line(f"{batch} = {self._map(items, 'perhaps', f', key=str{options}, min_successful=1')}"),
            self._append(f"enough({batch}, 1, 0)"),
            self._append(self._step(f"hide, met({batch}, {items})")),
        ]

    def _in_a_batch(self, branch: str, numbers: Sequence[int]) -> Statement:
        """A function several times as branches, which may fail."""
        begin = "" if self.is_async else "lambda: "
        calls = ", ".join(f"{begin}{branch}({number})" for number in numbers)
        if self._chance.random() < 0.5:
            concurrency = self._chance.choice(("", ", concurrency=1", ", concurrency=2"))
            return self._append(f"told({self._await}ctx.parallel([{calls}]{concurrency}))")
        gathered = f"{self._await}ctx.gather({calls}, return_exceptions=True)"
        return self._append(f"[shown(v) for v in {gathered}]")

    def _map(self, items: str, step: str, options: str) -> str:
        return f"{self._await}ctx.map({items}, {step}{options})"

    def _items(self, at_least: int = 0) -> str:
        """Payloads. Sometimes the same ones come again."""
        numbers = ", ".join(self._number() for _ in range(self._chance.randint(at_least, 5)))
        return f"[{numbers}]"

    def _policy(self, *, is_named: bool = True) -> str:
        if self._chance.random() < 0.4:
            return self._concurrent(self._chance.choice((None, 2)), is_named=is_named)
        ends = (", tolerated_failures=0", ", tolerated_failures=1", "", ", min_successful=1")
        return self._concurrent(1, is_named=is_named) + self._chance.choice(ends)

    def _concurrent(self, most: int | None, *, is_named: bool = True) -> str:
        """The option, with a name by which the journal finds the steps of this batch."""
        if most is None:
            return ""
        name = f", name=f'{AT_MOST}{most} {self._new('b')}{self._marks()}'" if is_named else ""
        return f", concurrency={most}{name}"

    # Races

    def _won(self) -> list[Statement]:
        """The others never end, so it is known who wins."""
        way = self._chance.random()
        if way < 0.2:
            winner = f"ctx.sleep({self._chance.choice((0, 1, 45))})"
        elif way < 0.5:
            return [self._append(f"shown({self._raced(self._twice_sure())})")]
        else:
            return [self._append(f"shown({self._raced(self._call(self._sure()))})")]
        return [self._append(self._raced(winner if self.is_async else f"lambda: {winner}"))]

    def _lost(self) -> list[Statement]:
        """What ends first is a failure."""
        self._fails("step")
        return [self._append(self._raced(self._call(self._failing())))]

    def _open_race(self) -> list[Statement]:
        """Any may win."""
        numbers = {f"'{name}'": self._chance.randint(1, 9) for name in "abc"[: self._chance.randint(2, 3)]}
        calls = ", ".join(f"{name}: {self._call(f'maybe, {number}')}" for name, number in numbers.items())
        allowed = ", ".join(f"{name}: {number}" for name, number in numbers.items())
        won = self._new("won")
        return [
            Line(f"{won} = {self._await}ctx.race({{{calls}}})"),
            self._append(f"one_of({won}, {{{allowed}}})"),
            self._append(self._step(f"hide, list({won})")),
        ]

    def _raced(self, winner: str) -> str:
        losers = self._chance.choices((self._late_step, self._late_event, self._late_sleep), k=2)
        calls = [f"'{LOSER} {number}': {loser()}" for number, loser in enumerate(losers)]
        calls = calls[: self._chance.randint(1, 2)]
        calls.insert(self._chance.randint(0, len(calls)), f"'winner': {winner}")
        return f"{self._await}ctx.race({{{', '.join(calls)}}})"

    def _late_step(self) -> str:
        return self._call(f"maybe, 1, delay={_LONGEST_S}, name='{LOSER}'")

    def _late_event(self) -> str:
        return f"{'' if self.is_async else 'lambda: '}ctx.event('{LOSER}')"

    def _late_sleep(self) -> str:
        return f"{'' if self.is_async else 'lambda: '}ctx.sleep({_LONGEST_S}, name='{LOSER}')"

    # Calls

    def _call(self, call: str) -> str:
        return f"ctx.{'step' if self.is_async else 'call'}({call})"

    def _twice(self) -> str:
        """A branch."""
        return f"{'twice_async' if self.is_async else 'lambda: twice'}(ctx, {self._number()})"

    def _twice_sure(self) -> str:
        """A branch that succeeds."""
        return (
            f"{'twice_async' if self.is_async else 'lambda: twice'}(ctx, {2 * self._chance.randint(1, 9)})"
        )
