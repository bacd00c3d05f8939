"""The world around a program: it tells events their results, at random moments.

An event is told by its name before its run begins, before its handler asks for it, or afterwards; by the
number of its message; by its id; or by its callback URL. What it is told is in `script`.
"""

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, Final

from atomic.domain.steps import Step
from atomic.protocol import keys
from atomic.testing import ApiReply, LocalAtomic
from programs.journal import Journal
from programs.script import (
    ANSWERED_AFTER_S,
    ASKED,
    DAY_S,
    MESSAGES,
    MISSED,
    REJECTED,
    TOLD,
    answer_of,
)

_EARLY_MAX: Final = 2
_EARLY_S: Final = (0.0, 0.0, 0.3, 3.0)
_AFTER_S: Final = (0.0, 0.3, 3.0, 0.1 * DAY_S, DAY_S)
_CALLBACKS: Final = "/callbacks/"
_JSON: Final = {"content-type": "application/json"}
_TEXT: Final = {"content-type": "text/plain"}
_Work = Callable[..., Coroutine[Any, Any, object]]


class Teller:
    """That of one run, whose workflow and key are given. `spawn` runs what it does later."""

    def __init__(
        self,
        atomic: LocalAtomic,
        journal: Journal,
        address: dict[str, str],
        spawn: Callable[[Coroutine[Any, Any, object]], None],
        *,
        seed: int,
    ) -> None:
        self._atomic = atomic
        self._journal = journal
        self._address = address
        self._spawn = spawn
        self._chance = random.Random(f"world {seed}")
        run_id = keys.run_id("me", address["workflowName"], address["idempotencyKey"])
        self._root_id = keys.root_of(run_id)
        self._begun: set[str] = set()
        self._opened: set[str] = set()
        # The callback URLs of events, without the server, and the ids of these events.
        self._callbacks: dict[str, str] = {}
        # By handler and name, how many messages were sent. One is sent after the other.
        self._sent: Counter[tuple[str, str]] = Counter()
        self._sending: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self) -> None:
        """Tell some events of the root before its run exists."""
        if self._chance.random() < 0.3:
            await self._tell(self._root_id, self._chance.choice(sorted(TOLD)), 1)
        if self._chance.random() < 0.3:
            await self._send(self._root_id, self._chance.choice(sorted(MESSAGES)))

    def called(self, handler_id: str) -> None:
        """A handler is called. Some of its events are told soon, whether it asks for them or not."""
        if handler_id in self._begun:
            return
        self._begun.add(handler_id)
        for name in sorted(TOLD):
            for number in range(1, self._chance.randint(0, _EARLY_MAX) + 1):
                self._later(_EARLY_S, self._tell, handler_id, name, number)
        for name in sorted(MESSAGES):
            for _ in range(self._chance.randint(0, _EARLY_MAX)):
                self._later(_EARLY_S, self._send, handler_id, name)

    async def opened(self, reply: ApiReply) -> None:
        """A handler has asked for an event: this was the answer."""
        event = reply.json
        step_id = event.get("id")
        if step_id is None or step_id in self._opened:
            return
        self._opened.add(step_id)
        self._callbacks[_path_of(event.get("callbackUrl", ""))] = step_id
        row = self._journal.rows[step_id]
        name, _, number = row.spec.step_name.partition("#")
        handler_id = row.spec.parent or ""
        if name in TOLD:
            self._later(_AFTER_S, self._tell, handler_id, name, int(number or 1))
        elif name in MESSAGES:
            self._later(_AFTER_S, self._send_all, handler_id, name, int(number or 1))
        elif ANSWERED_AFTER_S.get(name) == 0.0:
            await self._answer(row, name)
        elif name in ANSWERED_AFTER_S:
            self._after(ANSWERED_AFTER_S[name], self._answer, row, name)

    def asked(self, asks: str) -> None:
        """A step has requested an answer, by the id or the callback URL of an event."""
        if _CALLBACKS in asks:
            self._after(1.0, self._call_back, _path_of(asks))
        else:
            self._after(1.0, self._answer, self._journal.rows[asks], ASKED)

    async def _answer(self, row: Step, name: str) -> None:
        handler_id = row.spec.parent or ""
        if row.spec.idempotency_key == self._journal.rows[handler_id].spec.endpoint_key:
            await self._post_event(handler_id, {"name": row.spec.step_name, "result": answer_of(name)})
        else:
            # What a task asks for has no name for others.
            await self._post(f"/me/steps/{row.id}/result", answer_of(name), handler_id)

    async def _tell(self, handler_id: str, name: str, number: int) -> None:
        """Tell an event by its number. Another result comes too late."""
        event = {"name": _numbered(name, number), **_result(name, number)}
        reply = await self._post_event(handler_id, event)
        if reply.status == 200 and self._chance.random() < 0.3:
            other = await self._post_event(handler_id, {**event, "result": "another one", "reject": None})
            self._check(other.status == 409, f"{event['name']} was told twice: {other.status}")

    async def _send_all(self, handler_id: str, name: str, number: int) -> None:
        while self._sent[handler_id, name] < number and await self._send(handler_id, name):
            pass

    async def _send(self, handler_id: str, name: str) -> bool:
        """Send a message, whose post may be repeated now and later. Returns whether it was accepted."""
        async with self._sending[handler_id, name]:
            number = self._sent[handler_id, name] + 1
            message = {"name": name, "next": True, "id": f"m{number}", "result": answer_of(name, number)}
            posts = [self._post_event(handler_id, message) for _ in range(self._chance.choice((1, 1, 2)))]
            replies = await asyncio.gather(*posts)
            if any(reply.status != 200 for reply in replies):
                return False
            for reply in replies:
                told = reply.json["name"]
                self._check(told == _numbered(name, number), f"message {number} was given to {told}")
            self._sent[handler_id, name] = number
        if self._chance.random() < 0.3:
            self._later(_AFTER_S, self._post_event, handler_id, message)
        return True

    async def _call_back(self, path: str) -> None:
        """A third party uses a callback URL. To look at its page changes nothing."""
        row = self._journal.rows[self._callbacks[path]]
        name = row.spec.step_name.partition("#")[0]
        if self._chance.random() < 0.5:
            await self._atomic.request(self._chance.choice(("GET", "HEAD")), path)
        if name in REJECTED:
            reply = await self._by_url(f"{path}/reject", json.dumps({"detail": REJECTED[name]}), _JSON)
        elif self._chance.random() < 0.5:
            reply = await self._by_url(path, json.dumps(answer_of(name)), _JSON)
        else:
            reply = await self._by_url(path, answer_of(name), _TEXT)
        is_over = self._is_over(row.spec.parent or "")
        self._check(is_over or reply.status == 200, f"the callback {name} was answered {reply.status}")
        if reply.status == 200 and self._chance.random() < 0.3:
            other = await self._by_url(path, "another one", _TEXT)
            self._check(other.status == 410, f"the callback {name} was told twice: {other.status}")

    async def _by_url(self, path: str, body: str, headers: dict[str, str]) -> ApiReply:
        return await self._atomic.request("POST", path, body=body.encode(), headers=headers)

    async def _post_event(self, handler_id: str, event: dict[str, Any]) -> ApiReply:
        is_root = handler_id == self._root_id
        to = self._address if is_root and self._chance.random() < 0.5 else {"parent": handler_id}
        if handler_id not in self._journal.rows:
            to = self._address
        given = {name: value for name, value in event.items() if value is not None}
        return await self._post("/me/events", {**to, **given}, handler_id)

    async def _post(self, target: str, document: Any, handler_id: str) -> ApiReply:
        reply = await self._atomic.post(target, document)
        said = document if isinstance(document, str) else document["name"]
        self._journal.note(f"the world tells {said}: {reply.status}")
        if not self._is_over(handler_id):
            is_late = "another one" in json.dumps(document) or said.partition("#")[0] == MISSED
            expected = 409 if is_late else 200
            self._check(reply.status == expected, f"{said} was told: {reply.status} {reply.body!r}")
        return reply

    def _is_over(self, handler_id: str) -> bool:
        handler = self._journal.rows.get(handler_id)
        if handler is None or self._journal.cancelled_s is not None:
            return handler is not None
        return handler.is_settled or self._journal.rows[keys.root_of(handler.spec.run_id)].is_settled

    def _check(self, is_well: bool, wrong: str) -> None:
        if not is_well and self._journal.cancelled_s is None:
            self._journal.wrong.append(wrong)

    def _later(self, after_s: tuple[float, ...], work: _Work, *given: Any) -> None:
        """Do this at a random moment."""
        self._after(self._chance.choice(after_s) * self._chance.random(), work, *given)

    def _after(self, delay_s: float, work: _Work, *given: Any) -> None:
        asyncio.get_running_loop().call_later(delay_s, lambda: self._spawn(work(*given)))


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}#{number}"


def _result(name: str, number: int) -> dict[str, Any]:
    if name in REJECTED:
        return {"reject": {"detail": REJECTED[name]}}
    return {"result": answer_of(name, number)}


def _path_of(url: str) -> str:
    return url[url.find(_CALLBACKS) :] if _CALLBACKS in url else url
