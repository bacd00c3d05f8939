"""Generates the simple statements of a program, and the expressions of all statements."""

import random
from dataclasses import dataclass
from typing import Final

from programs.language import Block, Line, Statement

WORDS: Final = ("ivy", "oak", "elm", "ash", "fir", "yew")
# So begins the name of steps of a batch with a `concurrency`: the number follows.
AT_MOST: Final = "at most "


@dataclass(frozen=True, slots=True)
class Known:
    """A workflow that can be called."""

    name: str
    may_fail: bool


class Simple:
    """Writes statements of one workflow, and tracks what is defined and caught at the current place."""

    # Whether the workflow ends by going on as another run. Then it is called as a run only.
    _goes_on = False

    def __init__(
        self, chance: random.Random, name: str, *, is_async: bool, known: tuple[Known, ...]
    ) -> None:
        self.is_async = is_async
        self.may_fail = False
        self._chance = chance
        self._workflow = name
        self._known = known
        self._made = 0
        # The defined names of numbers, and of the counters of loops and branches.
        self._numbers = ["n"]
        self._indexes: list[str] = []
        # In how many functions that are branches.
        self._branch_depth = 0
        # Whether this is a branch of a batch, which has its keys to itself.
        self._is_in_batch = False
        # What the surrounding statements catch: a failed step, or everything.
        self._caught: list[str] = []

    # Statements

    def _one_step(self, depth: int) -> list[Statement]:
        if self._chance.random() < 0.5:
            name = self._new("v")
            step = self._chance.choice(("add", "note", "double", "shaky"))
            line = Line(f"{name} = {self._step(f'{step}, {self._number()}', self._key())}")
            self._numbers.append(name)
            return [line, Line(f"out.append({name})")]
        return [self._append(self._shown(self._step(self._sure(), self._key())))]

    def _failing_step(self, depth: int) -> list[Statement]:
        self._fails("step")
        return [self._append(self._step(self._failing()))]

    def _sleep(self, depth: int) -> list[Statement]:
        seconds, name = self._chance.choice((0, 0.02, 1, 45, 260_000)), self._name("nap")
        return [Line(f"{self._await}ctx.sleep({seconds}{name})")]

    def _value(self, depth: int) -> list[Statement]:
        """A value that the handler computes, or one that chance decides and a step is given."""
        kind = self._chance.choice(("number", "number", "typed", "roll", "roll", "version"))
        if kind == "version" and not self._branch_depth:
            newest = self._chance.choice(("1", "2", "newest()"))
            version = f"{self._await}ctx.version('{self._new('change')}', {newest})"
            return [self._append(self._step(f"hide, {version}") if newest == "newest()" else version)]
        if kind == "roll":
            drawn = self._chance.choice(
                ("run('roll', roll)", "random()", "uuid()", "now()", "run('a', roll)")
            )
            return [self._append(self._step(f"hide, shown({self._await}ctx.{drawn})"))]
        if kind == "typed":
            words = f"lambda: {self._words()}"
            return [self._append(self._shown(f"{self._await}ctx.run('words', {words}, returns=set[str])"))]
        name = self._new("v")
        function = self._chance.choice(("answer", "answer_async")) if self.is_async else "answer"
        computed = f"lambda: {function}({self._number()})"
        line = Line(f"{name} = {self._await}ctx.run('answer', {computed})")
        self._numbers.append(name)
        return [line, Line(f"out.append({name})")]

    def _nested(self, depth: int) -> list[Statement]:
        called = self._chance.choice(self._known)
        if called.may_fail:
            self._fails("step")
        return [self._append(self._step(f"{called.name}, {self._number()}"))]

    def _recursion(self, depth: int) -> list[Statement]:
        self._fails("step")
        call = "run_workflow" if self._goes_on or self._chance.random() < 0.3 else "step"
        inner = self._append(f"{self._await}ctx.{call}({self._workflow}, n - 1)")
        return [Block((("if n > 0:", (inner,)),))]

    # Expressions

    @property
    def _await(self) -> str:
        return "await " if self.is_async else ""

    def _step(self, call: str, key: str = "") -> str:
        return f"{self._await}ctx.step({call}{key})"

    def _append(self, text: str) -> Line:
        return Line(f"out.append({text})")

    def _shown(self, text: str) -> str:
        return f"shown({text})"

    def _sure(self) -> str:
        """A step that succeeds, with its payload."""
        number, numbers = self._number(), f"[{self._number()}, {self._number()}]"
        calls = {
            "add": number,
            "note": number,
            "double": number,
            "shaky": number,
            "total": numbers,
            "label": self._words(),
            "shout": self._words(),
            "grow": f"{{'a': {number}, 'b': {self._number()}}}",
            "price": f"Decimal('{self._chance.randint(1, 9)}.50')",
            "tomorrow": f"datetime(2026, 1, {self._chance.randint(1, 9)})",
            "move": f"Point({number}, ('new',))",
        }
        safe = [(called.name, number) for called in self._known if not called.may_fail]
        if safe and self._chance.random() < 0.2:
            return ", ".join(self._chance.choice(safe))
        return ", ".join(self._chance.choice(list(calls.items())))

    def _failing(self) -> str:
        number = self._chance.randint(1, 99)
        return self._chance.choice((f"refuse, {number}", f"refuse, {number}", f"broken, {number}, retry=1"))

    def _words(self) -> str:
        words = ", ".join(f"'{word}'" for word in self._chance.sample(WORDS, self._chance.randint(2, 4)))
        return f"{{{words}, f'n{{{self._number()}}}'}}"

    def _number(self) -> str:
        name = self._chance.choice(self._numbers)
        number = self._chance.randint(1, 4)
        return self._chance.choice((name, f"{name} + {number}", str(number)))

    def _key(self) -> str:
        """Sometimes a name, or a key of its own, which distinguishes the call in loops and branches."""
        if self._chance.random() < 0.85:
            return self._name("named")
        if self._is_in_batch and self._chance.random() < 0.5:
            return ", key='same'"
        return f", key=f'{self._new('k')}{self._marks()}'"

    def _name(self, name: str) -> str:
        """Sometimes a name. Calls with it are counted apart from others, so it may come again."""
        return f", name='{name} {self._chance.randint(1, 2)}'" if self._chance.random() < 0.15 else ""

    def _marks(self) -> str:
        """An expression that distinguishes the rounds of the surrounding loops and branches."""
        return "".join(f"-{{{index}}}" for index in self._indexes)

    def _new(self, name: str) -> str:
        self._made += 1
        return f"{name}{self._made}"

    def _fails(self, kind: str) -> None:
        """Note that something here fails: a step, or (`all`) something that only a catch-all catches."""
        is_caught = "all" in self._caught or (kind == "step" and "step" in self._caught)
        self.may_fail = self.may_fail or not is_caught
