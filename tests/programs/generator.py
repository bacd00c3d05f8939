"""Generates a program from a seed.

The result and the effects of a program must not depend on the order of concurrent branches, because they
are compared. So in a group that a failure cancels, at most one branch can fail, and the others are only
`maybe`, whose effects are not compared. Branches return what they found instead of sharing variables. The
result of an event depends on its name and number. A saga whose calls are made in branches undoes them in
any order. Races (`FIRST_COMPLETED`, time-outs of the handler's own) and tasks with effects on cancellation
are left out for the same reason.
"""

import random
from collections.abc import Callable
from typing import Final

from programs.batches import Batching
from programs.eventful import Eventful
from programs.language import ENTRY, Block, Body, Function, Line, Program, Statement
from programs.runs import Runs, lasting
from programs.sagas import Open, Sagas
from programs.simple import WORDS, Known

STATEMENTS_MIN: Final = 4
STATEMENTS_MAX: Final = 12
_DEPTH_MAX: Final = 3
# What a `try` statement catches, and whether it has a `finally`.
_TRIES: Final = (
    ("StepFailedError", False),
    ("StepFailedError", False),
    ("StepFailedError", True),
    ("", True),
    ("", True),
    ("Exception", False),
    ("BaseException", False),
    ("anything", False),
)


def program_of(seed: int, *, undoes: bool = False) -> Program:
    """The program of a seed. `undoes`: each workflow is a saga, which undoes what it has called."""
    chance = random.Random(f"program {seed}")
    budget = _Budget(chance.randint(STATEMENTS_MIN, STATEMENTS_MAX))
    colours = chance.choice(((False,), (True,), (True,), (False, True)))
    known: list[Known] = []
    functions, starts_lasting = [], False
    for name in [*("inner", "outer")[: chance.choice((0, 1, 1, 2))], ENTRY]:
        left = budget.left
        if name != ENTRY:
            budget.left = min(left, chance.randint(1, 5))
        spent = budget.left
        writer = _Writer(chance, budget, name, is_async=chance.choice(colours), known=tuple(known))
        functions.append(Function(name, writer.is_async, writer.saga() if undoes else writer.body()))
        starts_lasting |= writer.starts_lasting
        budget.left = left - (spent - budget.left)
        known.append(Known(name, writer.may_fail))
    if starts_lasting:
        functions.insert(0, lasting(is_async=chance.choice(colours)))
    return Program(tuple(functions), chance.randint(0, 2))


class _Budget:
    def __init__(self, left: int) -> None:
        self.left = left


class _Writer(Batching, Eventful, Runs, Sagas):
    """Writes one workflow."""

    def __init__(
        self,
        chance: random.Random,
        budget: _Budget,
        name: str,
        *,
        is_async: bool,
        known: tuple[Known, ...],
    ) -> None:
        super().__init__(chance, name, is_async=is_async, known=known)
        self._budget = budget
        self._sagas: list[Open] = []

    def body(self) -> Body:
        """The complete body."""
        self._goes_on = self._workflow == ENTRY and self._chance.random() < 0.15
        written = self._statements(0, at_least=2 if self._workflow == ENTRY else 1)
        going_on = self._going_on() if self._goes_on else ()
        return (Line("out = [n]"), *written, *going_on, Line("return out"))

    def saga(self) -> Body:
        """The complete body, as the block of a saga."""
        own = self._open_own_saga()
        out, *written = self.body()
        head = f"{'async ' if self.is_async else ''}with ctx.saga() as {own.name}:"
        return (out, Block(((head, (*self._saga_call(0), *written)),)))

    # Blocks

    def _statements(self, depth: int, *, at_least: int = 1, most: int = 99) -> Body:
        """Some statements. Names that they define are not used after them."""
        numbers, body = len(self._numbers), []
        while len(body) < at_least or (self._budget.left > 0 and len(body) < most):
            self._budget.left -= 1
            body += self._statement(depth)
            if depth and self._chance.random() < 0.35:
                break
        del self._numbers[numbers:]
        return tuple(body)

    def _statement(self, depth: int) -> list[Statement]:
        kinds: list[tuple[Callable[[int], list[Statement]], int]] = [
            (self._one_step, 26),
            # An uncaught failure ends the program and leaves little to compare, so these are rare.
            (self._failing_step, 8 if self._caught else 4),
            (self._sleep, 6),
            (self._event, 14),
            (self._value, 7),
            (self._side_by_side, 8),
            (self._batch, 6),
            (self._race, 5),
            (self._until, 4),
            (self._over_a_set, 3),
            (self._nested, 14 if self._known else 0),
            (self._recursion, 4),
            (self._run, 7),
            (self._saga_call, 40 if self._sagas else 0),
        ]
        if depth < _DEPTH_MAX and self._budget.left > 0:
            kinds += [
                (self._try, 14),
                (self._loop, 7),
                (self._if, 6),
                (self._with, 5),
                (self._saga, 14),
                (self._branches, 15),
            ]
        makers, weights = zip(*kinds, strict=True)
        [make] = self._chance.choices(makers, weights)
        return make(depth)

    # Concurrency

    def _side_by_side(self, depth: int) -> list[Statement]:
        if not self._caught and self._chance.random() < 0.8:
            return self._chance.choice((self._all, self._all_shown, self._as_completed))()
        return self._chance.choice((self._all, self._all_shown, self._as_completed, self._one_fails))()

    def _all(self) -> list[Statement]:
        """All of the branches succeed."""
        calls = [self._sure() for _ in range(self._chance.randint(2, 4))]
        return [self._append(f"[shown(v) for v in {self._gathered(calls)}]")]

    def _all_shown(self) -> list[Statement]:
        """Any of the branches may fail, and all are awaited."""
        calls = [self._sure() for _ in range(self._chance.randint(1, 3))]
        calls.insert(self._chance.randint(0, len(calls)), self._failing())
        self._chance.shuffle(calls)
        if not self.is_async or self._chance.random() < 0.6:
            listed = self._gathered(calls, "return_exceptions=True")
            return [self._append(f"[shown(v) for v in {listed}]")]
        tasks = self._new("tasks")
        made = ", ".join(f"asyncio.ensure_future(ctx.step({call}))" for call in calls)
        return [
            Line(f"{tasks} = [{made}]"),
            Line(f"await asyncio.wait({tasks})"),
            self._append(f"[shown(task.exception() or task.result()) for task in {tasks}]"),
        ]

    def _as_completed(self) -> list[Statement]:
        """In the order in which the branches end; the result must not depend on that order."""
        if not self.is_async:
            return self._all()
        calls = ", ".join(f"ctx.step({self._sure()})" for _ in range(self._chance.randint(2, 3)))
        found = f"[shown(await call) for call in asyncio.as_completed([{calls}])]"
        return [self._append(f"sorted({found}, key=repr)")]

    def _over_a_set(self, depth: int) -> list[Statement]:
        """The order of a set differs in each process; keys identify the calls."""
        found, word = self._new("found"), self._new("word")
        key = f", key=f'{self._new('k')}{self._marks()}-{{{word}}}'"
        call = f"shout, {{{word}, 'new'}}{key}"
        words = ", ".join(f"'{word}'" for word in self._chance.sample(WORDS, self._chance.randint(2, 4)))
        if self.is_async and self._chance.random() < 0.5:
            calls = f"*[ctx.step({call}) for {word} in {{{words}}}]"
            return [self._append(f"sorted(shown(v) for v in await asyncio.gather({calls}))")]
        line = Line(f"{found}.append({self._shown(self._step(call))})")
        return [
            Line(f"{found} = []"),
            Block(((f"for {word} in {{{words}}}:", (line,)),)),
            self._append(f"sorted({found})"),
        ]

    def _one_fails(self) -> list[Statement]:
        """One branch fails. `gather` does not wait for the others."""
        calls = [f"maybe, {self._number()}" for _ in range(self._chance.randint(1, 3))]
        calls.insert(self._chance.randint(0, len(calls)), self._failing())
        if self.is_async and self._chance.random() < 0.4:
            return [self._failing_group(calls)]
        self._fails("step")
        return [self._append(f"[shown(v) for v in {self._gathered(calls)}]")]

    def _failing_group(self, calls: list[str]) -> Statement:
        tasks = tuple(Line(f"group.create_task(ctx.step({call}))") for call in calls)
        group = Block((("async with asyncio.TaskGroup() as group:", tasks),))
        told = (self._append("reason(failures)"),)
        return Block((("try:", (group,)), ("except* StepFailedError as failures:", told)))

    def _branches(self, depth: int) -> list[Statement]:
        """The same function several times concurrently, each time with several steps of its own."""
        name, index = self._new("branch"), self._new("b")
        self._indexes.append(index)
        self._numbers.append(index)
        self._branch_depth += 1
        may_fail, self.may_fail, caught, self._caught = self.may_fail, False, self._caught, []
        sagas, self._sagas = self._sagas, []
        is_in_batch, self._is_in_batch = (
            self._is_in_batch,
            self._chance.random() < (0.4 if self.is_async else 1),
        )
        leaves = self._leaves(index) if self.is_async and self._chance.random() < 0.75 else ()
        rest = self._statements(depth + 1, at_least=2, most=4)
        written = (Line("out = []"), *leaves, *rest, Line("return out"))
        fails, self.may_fail, self._caught = self.may_fail, may_fail, caught
        self._sagas = sagas
        makes_batch, self._is_in_batch = self._is_in_batch, is_in_batch
        self._branch_depth -= 1
        self._numbers.remove(index)
        self._indexes.remove(index)
        begin = "async def" if self.is_async else "def"
        branch: list[Statement] = [Block(((f"{begin} {name}({index}):", written),))]
        if self.is_async and self._chance.random() < 0.25:
            limit = self._new("limit")
            inner = (Block(((f"async with {limit}:", written),)),)
            limited = Line(f"{limit} = asyncio.Semaphore({self._chance.choice((1, 2))})")
            branch = [limited, Block(((f"{begin} {name}({index}):", inner),))]
        numbers = range(self._chance.randint(2, 3))
        if makes_batch:
            return [*branch, self._in_a_batch(name, numbers)]
        return [*branch, *self._in_tasks([f"{name}({number})" for number in numbers], fails=fails)]

    def _in_tasks(self, calls: list[str], *, fails: bool) -> list[Statement]:
        if fails:
            listed = f"await asyncio.gather({', '.join(calls)}, return_exceptions=True)"
            return [self._append(f"[shown(v) for v in {listed}]")]
        way = self._chance.random()
        if way < 0.35:
            return [self._append(f"await asyncio.gather({', '.join(calls)})")]
        if way < 0.65:
            found = f"[await call for call in asyncio.as_completed([{', '.join(calls)}])]"
            return [self._append(f"sorted({found}, key=repr)")]
        tasks = self._new("tasks")
        made = (Line(f"{tasks} = [group.create_task(call) for call in ({', '.join(calls)})]"),)
        group = Block((("async with asyncio.TaskGroup() as group:", made),))
        return [group, self._append(f"[task.result() for task in {tasks}]")]

    def _leaves(self, branch: str) -> Body:
        """Branches of a branch that awaits them before it calls a step itself."""
        name, index = self._new("leaf"), self._new("f")
        step = self._chance.choice(("add", "note", "double"))
        body = (Line(f"return await ctx.step({step}, {branch} + {index})"),)
        calls = ", ".join(f"{name}({number})" for number in range(2))
        return (
            Block(((f"async def {name}({index}):", body),)),
            self._append(f"await asyncio.gather({calls})"),
        )

    def _gathered(self, calls: list[str], *more: str) -> str:
        listed = [f"ctx.{'step' if self.is_async else 'call'}({call})" for call in calls]
        if not self.is_async and not more and self._chance.random() < 0.5:
            return f"ctx.parallel([{', '.join(listed)}]).results()"
        module = self._chance.choice(("asyncio", "asyncio", "ctx")) if self.is_async else "ctx"
        return f"{self._await}{module}.gather({', '.join([*listed, *more])})"

    # Compound statements

    def _try(self, depth: int) -> list[Statement]:
        caught, has_finally = self._chance.choice(_TRIES)
        if caught:
            self._caught.append("step" if caught == "StepFailedError" else "all")
        body = self._statements(depth + 1, most=3)
        if self._chance.random() < 0.5:
            body = (*body, *self._end_of_try())
        clauses: list[tuple[str, Body]] = [("try:", body)]
        if caught:
            self._caught.pop()
            clauses.append(self._except(depth, caught))
        if has_finally:
            last = (Line("return [out, 'finally']"),) if self._chance.random() < 0.15 else ()
            clauses.append(("finally:", (*self._statements(depth + 1, most=2), *last)))
        return [Block(tuple(clauses))]

    def _except(self, depth: int, caught: str) -> tuple[str, Body]:
        if caught == "anything":
            return "except:", (self._append("'caught'"), *self._some(depth + 1))
        return f"except {caught} as error:", (self._append("reason(error)"), *self._some(depth + 1))

    def _end_of_try(self) -> list[Statement]:
        kind = self._chance.choice(("step", "step", "raise", "return"))
        if kind == "step":
            return self._failing_step(0)
        if kind == "return":
            return [Line("return [out, 'early']")]
        return [self._raise()]

    def _raise(self) -> Statement:
        self._fails("all")
        kind = self._chance.choice(("NonRetryable", "NonRetryable", "NonRetryable", "ValueError"))
        return Line(f"raise {kind}('boom-{self._chance.randint(1, 99)}')")

    def _some(self, depth: int) -> Body:
        return self._statements(depth, most=2) if self._chance.random() < 0.6 else ()

    def _loop(self, depth: int) -> list[Statement]:
        if self._chance.random() < 0.3:
            name = self._new("w")
            self._indexes.append(name)
            again = (Line(f"{name} = {self._step(f'add, {name}')}"), *self._some(depth + 1))
            self._indexes.remove(name)
            return [Line(f"{name} = 0"), Block(((f"while {name} < 2:", again),))]
        index = self._new("i")
        self._indexes.append(index)
        self._numbers.append(index)
        body = self._statements(depth + 1, most=3)
        self._numbers.remove(index)
        self._indexes.remove(index)
        return [Block(((f"for {index} in range({self._chance.choice((2, 2, 3))}):", body),))]

    def _if(self, depth: int) -> list[Statement]:
        then = self._statements(depth + 1, most=3)
        if self._chance.random() < 0.3:
            then = (*then, Line("return [out, 'early']"))
        clauses = [(f"if ({self._chance.choice(self._numbers)} + {self._chance.randint(0, 1)}) % 2:", then)]
        if self._chance.random() < 0.5:
            clauses.append(("else:", self._statements(depth + 1, most=3)))
        return [Block(tuple(clauses))]

    def _with(self, depth: int) -> list[Statement]:
        head = "async with held_async" if self.is_async else "with held"
        number = self._number()
        return [Block(((f"{head}(ctx, {number}):", self._statements(depth + 1, most=3)),))]

    def _saga(self, depth: int) -> list[Statement]:
        """A block whose calls are undone if it raises. Undos may fail."""
        saga, is_caught = self._open_saga(), self._chance.random() < 0.75
        self._caught += ["all"] if is_caught else []
        self._sagas.append(saga)
        # Nothing around the block catches that another call of the handler is asked for.
        is_held_up = depth == 0 and not is_caught and self._chance.random() < 0.5
        held_up = (Line("held_up(ctx)"),) if is_held_up else ()
        body = (*self._saga_call(0), *self._statements(depth + 1, most=4), *held_up)
        if self._chance.random() < (0.6 if self._caught else 0.3):
            body = (*body, *self._end_of_saga(saga))
        elif self._caught and self._chance.random() < 0.4:
            body = (*body, self._raise())
        self._sagas.pop()
        block = Block(((self._head_of(saga), body),))
        if not is_caught:
            if saga.undo_fails:
                self._fails("all")
            return [block]
        self._caught.pop()
        told = (self._append("undone(error)"), *self._some(depth + 1))
        return [Block((("try:", (block,)), ("except Exception as error:", told)))]
