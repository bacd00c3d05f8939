"""Generates the statements of sagas: calls with their undos, which may be steps, calls or workflows."""

from dataclasses import dataclass

from programs.language import Block, Line, Statement
from programs.outcome import ANY_ORDER, OWN
from programs.simple import Simple


@dataclass(slots=True)
class Open:
    """A saga whose block is being written. `tag` is an expression for its name."""

    name: str
    tag: str
    is_ordered: bool
    undo_fails: bool = False


class Sagas(Simple):
    """Writes calls of the sagas that are open here."""

    _sagas: list[Open]

    def _open_saga(self) -> Open:
        name, is_ordered = self._new("saga"), self._chance.random() < 0.7
        tag = f"f'{'' if is_ordered else ANY_ORDER}{name}{self._marks()}'"
        return Open(name, tag, is_ordered)

    def _head_of(self, saga: Open) -> str:
        options = self._chance.choice(("", "", "'trip'", "retry=3", "'trip', retry=3"))
        return f"{'async ' if self.is_async else ''}with ctx.saga({options}) as {saga.name}:"

    def _open_own_saga(self) -> Open:
        self._sagas.append(own := Open(OWN, f"'{OWN}'", is_ordered=False))
        return own

    def _saga_call(self, depth: int) -> list[Statement]:
        """A call with an undo, for one of the open sagas."""
        saga = self._chance.choice(self._sagas)
        if saga.name == OWN:
            return self._chance.choice((self._booked, self._booked, self._side_by_side_of))(saga)
        kinds = [self._booked, self._booked, self._booked, self._computed, self._by_hand]
        if not saga.is_ordered or self.is_async:
            kinds += [self._side_by_side_of, self._side_by_side_of]
        return self._chance.choice(kinds)(saga)

    def _booked(self, saga: Open) -> list[Statement]:
        return [self._append(f"shown({self._await}{self._booking(saga)})")]

    def _booking(self, saga: Open) -> str:
        what = self._what(saga)
        if saga.name == OWN:
            return f"{OWN}.step(book, {what}, undo=unbook)"
        step = self._chance.choice((f"book, {what}", f"book, {what}", f"add, {self._number()}"))
        undo = self._undo(saga) if step.startswith("book") else self._undo_with_payload(saga)
        return f"{saga.name}.step({step}, {undo}{self._key()})"

    def _computed(self, saga: Open) -> list[Statement]:
        value = f"lambda: answer({self._number()})"
        return [
            self._append(
                f"{self._await}{saga.name}.run('answer', {value}, {self._undo_with_payload(saga)})"
            )
        ]

    def _by_hand(self, saga: Open) -> list[Statement]:
        noted = self._chance.choice(
            (
                f"unbook, {self._what(saga)}{self._name('own')}",
                f"lambda: ctx.step(unbook, {self._what(saga)})",
            )
        )
        return [Line(f"{saga.name}.undo({noted})")]

    def _side_by_side_of(self, saga: Open) -> list[Statement]:
        """Calls side by side. In branches they come in any order."""
        calls = [self._booking(saga) for _ in range(self._chance.randint(2, 3))]
        if not self.is_async:
            return [
                self._append(f"ctx.parallel([{', '.join(f'lambda: {call}' for call in calls)}]).results()")
            ]
        if saga.is_ordered or self._chance.random() < 0.5:
            return [self._append(f"await asyncio.gather({', '.join(calls)})")]
        branch, made = self._new("booking"), self._new("call")
        body = (Line(f"return [await {made}, {self._step(f'note, {self._number()}')}]"),)
        branches = ", ".join(f"{branch}({call})" for call in calls)
        return [
            Block(((f"async def {branch}({made}):", body),)),
            self._append(f"await asyncio.gather({branches})"),
        ]

    def _end_of_saga(self, saga: Open) -> list[Statement]:
        """What lets a block raise."""
        self._fails("step")
        refused = f"{saga.name}.step({self._failing()}, {self._undo_with_payload(saga)})"
        if not self.is_async or self._chance.random() < 0.6:
            return [self._append(f"{self._await}{refused}")]
        # The block does not wait for the others. What is called must be undone.
        calls = [
            f"{saga.name}.step(perhaps_book, {self._what(saga)}, undo=perhaps_unbook)"
            for _ in range(self._chance.randint(1, 2))
        ]
        calls.insert(self._chance.randint(0, len(calls)), refused)
        return [self._append(f"await asyncio.gather({', '.join(calls)})")]

    def _undo(self, saga: Open) -> str:
        """The undo of a step whose payload the undo can take."""
        return "undo=unbook" if self._chance.random() < 0.5 else self._undo_with_payload(saga)

    def _undo_with_payload(self, saga: Open) -> str:
        number, what = self._number(), self._what(saga)
        undos = [
            *([f"undo=unbook, undo_payload={what}"] * 3),
            *([f"undo=lambda: ctx.step(unbook, {what})"] * 2),
            f"undo=shaky, undo_payload={number}",
            *(
                f"undo={called.name}, undo_payload={number}"
                for called in self._known
                if not called.may_fail
            ),
        ]
        if self._chance.random() < 0.1:
            saga.undo_fails = True
            return f"undo=refuse, undo_payload={self._chance.randint(1, 99)}"
        return self._chance.choice(undos)

    def _what(self, saga: Open) -> str:
        """A payload that tells the saga, the call, and a number."""
        return f"[{saga.tag}, f'{self._new('c')}{self._marks()}', {self._number()}]"
