"""Generates events: told by name or id, early or late, rejected, missed; loops over messages; callbacks."""

from typing import Final

from programs.language import Block, Line, Statement
from programs.simple import Simple

# Events with these names are answered at once, after seconds, or after days.
_ANSWERED: Final = ("now", "soon", "late")
_LONG_S: Final = 40 * 24 * 3600


class Eventful(Simple):
    """Writes the statements of events."""

    def _event(self, depth: int) -> list[Statement]:
        if self._branch_depth:
            # The events of branches have no names for others, and a branch may wait for an event that
            # another one has opened, so none is opened here.
            return self._chance.choice((self._answered, self._called_back))()
        kinds = (
            *(self._answered, self._answered, self._opened, self._asked, self._missed),
            *(self._told, self._told, self._messages, self._several, self._rejected),
            *(self._called_back, self._called_back),
        )
        return self._chance.choice(kinds)()

    def _answered(self) -> list[Statement]:
        name = self._chance.choice(_ANSWERED)
        return [self._append(f"{self._await}ctx.event('{name}'{self._long_deadline()})")]

    def _told(self) -> list[Statement]:
        """Events that are told by their numbers, and messages, in the order in which they are asked for."""
        name = self._chance.choice(("vote", "mail"))
        awaited = self._append(f"{self._await}ctx.event('{name}'{self._long_deadline()})")
        if self._chance.random() < 0.7:
            return [awaited]
        return [Line(f"{self._await}ctx.open_event('{name}')"), *self._one_step(0), awaited]

    def _messages(self) -> list[Statement]:
        """A loop over the events of a name, which ends by a message, or because none comes."""
        mail, most = self._new("mail"), self._chance.randint(1, 3)
        loop = "async for" if self.is_async else "for"
        if self._chance.random() < 0.25:
            deadline = self._chance.choice((5, 7_000))
            turns = f"{loop} {mail} in ctx.events('never', deadline={deadline}):"
            return [Block(((turns, (self._append(mail),)),)), self._append("'no more'")]
        found = self._new("found")
        turns = f"{loop} {mail} in ctx.events('{self._chance.choice(('mail', 'vote'))}'):"
        more = [self._append(self._step(f"shout, {{{mail}}}"))] if self._chance.random() < 0.5 else []
        last = Block(((f"if len({found}) == {most}:", (Line("break"),)),))
        body = (Line(f"{found}.append({mail})"), *more, last)
        return [Line(f"{found} = []"), Block(((turns, body),)), self._append(found)]

    def _several(self) -> list[Statement]:
        """Events side by side, each with its name and number."""
        names = [self._chance.choice(("vote", "mail", "now", "soon")) for _ in range(2)]
        names.append(self._chance.choice(("vote", "mail")))
        if not self.is_async:
            # In a `def` handler, a branch would wait for them.
            opened = [Line(f"ctx.open_event('{name}')") for name in names]
            self._chance.shuffle(names)
            return [*opened, *(self._append(f"ctx.event('{name}')") for name in names)]
        calls = ", ".join(f"ctx.event('{name}')" for name in names)
        module = self._chance.choice(("asyncio", "ctx"))
        return [self._append(f"list(await {module}.gather({calls}))")]

    def _rejected(self) -> list[Statement]:
        options = self._chance.choice(("", f", deadline={_LONG_S}, default='nobody'"))
        tried = (self._append(f"{self._await}ctx.event('veto'{options})"),)
        told = (self._append("reason(error)"), *self._one_step(0))
        return [Block((("try:", tried), ("except EventRejectedError as error:", told)))]

    def _opened(self) -> list[Statement]:
        name, deadline = self._chance.choice(_ANSWERED), self._long_deadline()
        opened = Line(f"{self._await}ctx.open_event('{name}'{deadline})")
        awaited = self._append(f"{self._await}ctx.event('{name}'{deadline})")
        return [opened, *self._one_step(0), awaited]

    def _asked(self) -> list[Statement]:
        opened = f"{self._await}ctx.open_event('asked'{self._long_deadline()})"
        between = self._one_step(0) if self._chance.random() < 0.5 else []
        ticket = self._new("ticket")
        return [
            Line(f"{ticket} = {opened}"),
            *between,
            self._append(self._step(f"ask, {ticket}")),
            self._append(f"{self._await}ctx.event('asked')"),
        ]

    def _missed(self) -> list[Statement]:
        """An event that is not answered, or too late. It may have been opened before."""
        name, deadline = self._chance.choice(("never", "missed")), self._chance.choice((5, 7_000))
        how = self._chance.choice(("event", "event", "default", "both", "open", "none of open"))
        if how == "default":
            options = f"deadline={deadline}, default='nobody'"
            return [self._append(f"{self._await}ctx.event('{name}', {options})")]
        opened = "" if how == "none of open" else f", deadline={deadline}"
        awaited = "" if how == "open" else f", deadline={deadline}"
        nobody = (self._append("'nobody'"), self._append(self._step(f"note, {self._number()}")))
        tried = (self._append(f"{self._await}ctx.event('{name}'{awaited})"),)
        waited = Block((("try:", tried), ("except StepFailedError:", nobody)))
        if how == "event":
            return [waited]
        # Nothing that takes so long that the event is answered.
        between = self._append(self._step(f"note, {self._number()}"))
        return [Line(f"{self._await}ctx.open_event('{name}'{opened})"), between, waited]

    def _called_back(self) -> list[Statement]:
        """A callback: its URL is passed on by a step, or by a call of one; the answer may never come."""
        amount = self._number()
        step = self._chance.choice(
            ("invite", f"lambda url: ctx.step(charge, {{'url': url, 'amount': {amount}}})")
        )
        kind = self._chance.choice(("paid", "paid", "paid", "denied", "default", "lost", "refused"))
        match kind:
            case "paid":
                more = self._long_deadline()
            case "denied":
                more = self._chance.choice(("", f", deadline={_LONG_S}, default='nobody'"))
            case "refused":
                kind, step, more = "lost", f"lambda url: ctx.step({self._failing()})", ""
            case _:
                more = f", deadline={self._chance.choice((5, 7_000))}"
                more += ", default='nobody'" if kind == "default" else ""
                kind, step = "lost", "hear"
        call = self._append(f"{self._await}ctx.callback('{kind}', submit={step}{more})")
        if kind == "paid" or (kind == "lost" and "default" in more):
            return [call]
        told = (self._append("type(error).__name__"), *self._one_step(0))
        return [Block((("try:", (call,)), ("except StepFailedError as error:", told)))]

    def _long_deadline(self) -> str:
        return self._chance.choice(("", f", deadline={_LONG_S}"))
