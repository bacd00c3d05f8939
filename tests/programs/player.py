"""Runs a program through Atomic: the engine in virtual time here, its endpoints in worker processes."""

import asyncio
import json
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import EndpointResponse, StepError
from atomic.protocol.error_kinds import ErrorKind
from atomic.runtime.faults import Faults
from atomic.testing import ApiReply, LocalAtomic
from programs import schedule, wire
from programs.journal import WITHIN_MS, Journal
from programs.language import ENTRY, Program
from programs.ledger import Effect
from programs.outcome import Outcome
from programs.readings import Readings
from programs.schedule import Schedule
from programs.teller import Teller
from programs.workers import Worker

_HOST: Final = "https://app.test"
_ADDRESS: Final = {"workflowName": "program", "idempotencyKey": "k"}
_RESET: Final = EndpointResponse(error=StepError(ErrorKind.NETWORK, "connection reset by peer"))
_BAD_GATEWAY: Final = EndpointResponse(status=502, body=b"bad gateway")
# The error of a call whose process dies.
_ENDS: Final = {schedule.DIES: _RESET, schedule.FAILS: _BAD_GATEWAY, schedule.WAITS: None}
# If a call dies, it dies at one of its first requests.
_QUESTIONS_MAX: Final = 4
# A run is cancelled before one of so many requests of its handlers.
_REQUESTS_MAX: Final = 40
# On top of what the program waits for: the back-off of retries, and rechecks of waiting steps.
_SLACK_S: Final = 3.0 * 3600


class Stuck(Exception):
    """The program should have ended by now, or have been called again."""


@dataclass(slots=True, eq=False)
class _Call:
    """One call of an endpoint."""

    number: int
    worker: Worker
    step_id: str
    fate: str
    answer: asyncio.Future[EndpointResponse]
    # How many requests the call makes before its fault occurs.
    questions_left: int
    is_dead: bool = False


class Player:
    """Create it inside the loop; call `play` once."""

    def __init__(
        self,
        program: Program,
        dice: Schedule,
        workers: list[Worker],
        *,
        seed: int,
        cancels: bool = False,
        faults: Faults | None = None,
    ) -> None:
        self._program = program
        self._dice = dice
        self._workers = workers
        self._seed = seed
        self._loop = asyncio.get_running_loop()
        self._atomic = LocalAtomic(seed=seed, faults=faults)
        self.journal = Journal(self._atomic.engine.store._rows)  # type: ignore[attr-defined]
        self._atomic._invoker.post = self._called  # type: ignore[method-assign]
        self._calls: dict[int, _Call] = {}
        self._ticks: dict[Worker, asyncio.TimerHandle] = {}
        self._loaded: set[Worker] = set()
        self._readings = Readings(dice)
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: OSError | None = None
        # After how many requests of handlers the run is cancelled.
        self._cancelled_after = random.Random(f"cancel {seed}").randrange(_REQUESTS_MAX) if cancels else -1
        self._root_id = ""
        self._teller = Teller(self._atomic, self.journal, _ADDRESS, self._spawn, seed=seed)

    async def play(self, waits_s: float) -> Outcome:
        """Start the program and wait until everything that it began has ended. Raises Stuck."""
        document = {
            **_ADDRESS,
            "stepInvokeUrl": f"{_HOST}/{ENTRY}",
            "payload": self._program.payload,
        }
        async with self._atomic:
            await self._teller.begin()
            body = json.dumps(document).encode()
            started = await self._atomic.request(
                "POST", "/me", body=body, headers={"prefer": "respond-async"}
            )
            self._root_id = started.json["id"]
            await self._until_quiet(waits_s + _SLACK_S)
        self.journal.check_batches()
        self.journal.check_sagas()
        self.journal.check_runs()
        if self.journal.cancelled_s is not None:
            self.journal.check_cancelled(self._root_id)
        if self.journal.wrong:
            raise Stuck("\n".join(self.journal.wrong))
        return self.journal.outcome(self.journal.rows[self._root_id])

    # Atomic calls an endpoint.

    async def _called(self, request: EndpointRequest) -> EndpointResponse:
        step_id = request.headers["Atomic-Step-Id"]
        self.journal.called(step_id)
        if self._is_workflow(step_id):
            self._teller.called(step_id)
        fate = self._dice.fate(self.journal.rows[step_id])
        if fate == schedule.REFUSED:
            self.journal.failed(step_id)
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, "connection refused"))
        call = self._begin(request, step_id, fate)
        if fate == schedule.TWICE:
            self._begin(request, step_id, fate)
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                answer = await call.answer
        except TimeoutError:
            answer = EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, str(request.timeout_ms)))
        if fate in schedule.CRASHES:
            self.journal.failed(step_id)
        self.journal.note(f"{self.journal.name(step_id)} {answer.status or answer.error}{_marks(fate)}")
        return answer

    def _begin(self, request: EndpointRequest, step_id: str, fate: str) -> _Call:
        worker = self._workers[self._dice.below(len(self._workers))]
        name, key = request.url.rpartition("/")[2], request.headers["Idempotency-Key"]
        call = _Call(
            number=len(self._calls) + 1,
            worker=worker,
            step_id=step_id,
            fate=fate,
            answer=self._loop.create_future(),
            questions_left=self._dice.below(_QUESTIONS_MAX),
        )
        self._calls[call.number] = call
        headers = {header.lower(): value for header, value in request.headers.items()}
        self.journal.note(
            f"{self.journal.name(step_id)} is called, by worker {self._workers.index(worker)}"
        )
        self._load(worker)
        made = self.journal.effects.get((name, key))
        self._tell(worker, wire.Serve(call.number, name, headers, request.body, made))
        return call

    # Workers

    def _load(self, worker: Worker) -> None:
        if worker not in self._loaded:
            self._loaded.add(worker)
            names = tuple(function.name for function in self._program.functions)
            self._tell(worker, wire.Load(self._program.source, names, self._seed, self._dice.wait_s))

    def _tell(self, worker: Worker, what: wire.What) -> None:
        """Send a worker a command, and process its report."""
        try:
            report = worker.tell(self._loop.time(), what)
        except OSError as broken:
            # The engine would treat this exception as an interrupted attempt, and make another one.
            self._broken = broken
            raise
        if worker in self._ticks:
            self._ticks.pop(worker).cancel()
        if report.next_in_s is not None:
            self._ticks[worker] = self._loop.call_later(report.next_in_s, self._tell, worker, wire.Tick())
        for subscription in report.subscription:
            match subscription:
                case Effect():
                    self._made(subscription)
                case wire.Served(number):
                    self._served(self._calls[number], subscription)
                case wire.Ask(number):
                    self._asked(self._calls[number], subscription)

    def _made(self, effect: Effect) -> None:
        self.journal.did(effect)
        if effect.asks:
            self._teller.asked(effect.asks)

    def _served(self, call: _Call, served: wire.Served) -> None:
        lower = {name.lower(): value for name, value in served.headers.items()}
        answer = EndpointResponse(status=served.status, headers=lower, body=served.body)
        if call.fate in {schedule.DIES, schedule.UNHEARD, schedule.GOES_ON}:
            answer = _RESET
        elif call.fate == schedule.FAILS:
            answer = _BAD_GATEWAY
        elif call.fate == schedule.WAITS:
            return
        if self._is_workflow(call.step_id):
            self._over(call, answer)
        else:
            self._loop.call_later(self._dice.duration_s(), self._over, call, answer)

    def _over(self, call: _Call, answer: EndpointResponse) -> None:
        if not call.answer.done():
            call.answer.set_result(answer)

    # A handler sends a request to Atomic.

    def _asked(self, call: _Call, asked: wire.Ask) -> None:
        if call.is_dead:
            return
        is_struck = call.fate != schedule.SERVED and call.questions_left == 0
        call.questions_left -= 1
        if is_struck and call.fate == schedule.GOES_ON:
            self._over(call, _RESET)
        elif is_struck and call.fate in _ENDS:
            self._die(call)
            if self._dice.below(2):
                # The request was sent, but the sender is dead, so no one receives the answer.
                self._spawn(self._request(asked))
            return
        self._spawn(self._ask(call, asked))

    def _die(self, call: _Call) -> None:
        call.is_dead = True
        self.journal.note(f"{self.journal.name(call.step_id)}{_marks(call.fate)}")
        if _ENDS[call.fate] is not None:
            self._over(call, _ENDS[call.fate])
        self._tell(call.worker, wire.Die(call.number))

    async def _ask(self, call: _Call, asked: wire.Ask) -> None:
        way = self._dice.way(self.journal.rows[call.step_id])
        await asyncio.sleep(self._dice.latency_s() if way != schedule.LATE else 3.0)
        reply: ApiReply | None = None
        if way != schedule.LOST:
            reply = await self._request(asked)
        if way == schedule.DOUBLED:
            reply = await self._request(asked)
        if reply is not None and reply.status == 504:
            self.journal.told(call.step_id, reply.json["id"])
            if way == schedule.LATE:
                self.journal.came_late.add(reply.json["id"])
        await asyncio.sleep(self._dice.latency_s())
        self.journal.note(
            f"{self.journal.name(call.step_id)} asked {_short(asked)}: {_told(reply)}" + _marks(way)
        )
        if call.is_dead:
            return
        if reply is None or way == schedule.DEAF:
            self._tell(call.worker, wire.Deliver(asked.number, 0, {}, b""))
        else:
            self._tell(call.worker, wire.Deliver(asked.number, reply.status, reply.headers, reply.body))

    async def _cancel(self) -> None:
        """Cancel the run, and let its workflows undo what they did."""
        root = self.journal.rows[self._root_id]
        if not root.is_settled:
            self.journal.cancelled_s = self._loop.time()
        document = {"mode": "graceful", "within": WITHIN_MS}
        reply = await self._atomic.post(f"/me/runs/{root.spec.run_id}/cancel", document)
        self.journal.note(f"the run is cancelled: {reply.status}")

    async def _request(self, asked: wire.Ask) -> ApiReply:
        if self._cancelled_after == 0:
            await self._cancel()
        self._cancelled_after -= 1
        reply = await self._atomic.request(
            asked.method, asked.target, body=asked.body, headers=asked.headers
        )
        if "/results?" in asked.target:
            return self._readings.told(asked.target, reply)
        if b'"event"' in asked.body:
            await self._teller.opened(reply)
        return reply

    # The end

    async def _until_quiet(self, until_s: float) -> None:
        pause_s = 0.5
        while not self._is_quiet():
            if self._broken is not None:
                raise self._broken
            if self._loop.time() > until_s:
                self.journal.wrong.append(f"it is not over after {until_s:.0f} s")
                return
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, 3600.0)

    def _is_quiet(self) -> bool:
        live = {
            row.id for row in self.journal.rows.values() if row.spec.kind == "http" and not row.is_settled
        }
        return not self._tasks and live <= self.journal.came_late

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = self._loop.create_task(self._watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watched(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except Exception as error:
            self.journal.wrong.append(f"{error!r}")
            raise

    def _is_workflow(self, step_id: str) -> bool:
        name = self.journal.step_name(step_id)
        return any(function.name == name for function in self._program.functions)


def _marks(fate: str) -> str:
    return "" if fate in {schedule.SERVED, schedule.WELL} else f" ({fate})"


def _short(asked: wire.Ask) -> str:
    if asked.method == "GET":
        return asked.target.rpartition("/")[2]
    document = json.loads(asked.body or b"{}")
    name = document.get("stepInvokeUrl", "").rpartition("/")[2] or document.get("stepName")
    # What chance has drawn is different each time a seed is run.
    is_drawn = name == "hide" or document.get("kind") == "value"
    return f"{name}({'…' if is_drawn else json.dumps(document.get('payload'))})"


def _told(reply: ApiReply | None) -> str:
    return "nothing" if reply is None else f"{reply.status}"
