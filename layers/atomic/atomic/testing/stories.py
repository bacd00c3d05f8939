"""What tests do with `LocalAtomic`: serve an application, start runs, let time pass, and look."""

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar, Unpack

from atomic.protocol.documents import EventOutcome, RunDocument
from atomic.protocol.enums import SETTLED, StatusName
from atomic.sdk import AsyncClient
from atomic.sdk._wire.api import Key, StepOptions
from atomic.sdk._wire.in_process import CURRENT, driven
from atomic.sdk._wire.transport import Flow
from atomic.testing.applications import application_of
from atomic.testing.endpoints import ApiReply, EndpointCall, EndpointReply, FunctionInvoker
from atomic.testing.fakes import Answers
from atomic.testing.in_process import Wire
from atomic.testing.runs import Run
from atomic.testing.virtual_time import CALL
from atomic.testing.watching import NoProgressError, Watch

Result = TypeVar("Result")
HOST: Final = "https://app.test"
# How long `run` and `until` wait, in virtual time.
WITHIN: Final = timedelta(days=400)
# So little that no clock in milliseconds shows it: what is due now comes first.
_INSTANT_S: Final = 1e-4


class NotReachedError(AssertionError):
    """A run did not become what the test waited for; the message has its timeline."""


class LocalClient(AsyncClient):
    """A client of one engine in this process. It needs no aiohttp."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__("http://atomic.test")

    def _open(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def run_flow(self, flow: Flow[Result]) -> Result:
        """See `AsyncClient`."""
        return await self._wire.join(driven(self._wire, flow))


class Stories(ABC):
    """The part of `LocalAtomic` that knows of applications, runs and time."""

    client: AsyncClient
    """A client of this engine, for what is not here: `await local.client.cancel(run.id)`. Times out in
    virtual time."""

    @abstractmethod
    async def request(
        self, method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> ApiReply:
        """Call the API."""

    def _open(self, invoker: FunctionInvoker, watch: Watch) -> None:
        self._invoker, self._watch = invoker, watch
        watch.open()
        self._loop = asyncio.get_running_loop()
        self._wire = Wire(self.request, watch)
        self.client = LocalClient(self._wire)
        self._base_url = HOST
        self._keys = itertools.count(1)

    def _close(self) -> None:
        if CURRENT.get() is self._wire:
            CURRENT.set(None)

    def serve(
        self,
        application: Any,
        base_url: str = HOST,
        *,
        kind: Literal["asgi", "wsgi", "lambda"] | None = None,
    ) -> str:
        """Serve an application in this process: steps and workflows below `base_url` are calls of it.

        - `application`: an ASGI application (FastAPI, Starlette, Django), a WSGI application (Flask,
          Django), a Lambda handler, or the `Endpoints` on one of them. Plain functions run in threads.
        - `base_url`: where Atomic reaches it (default: https://app.test). Names of `run` and `start` are
          relative to the one that was served last.
        - `kind`: how it is called (default: by the number and names of its arguments).

        Clients of the SDK reach this engine from then on, in handlers and in the test.

        Returns `base_url`.

        Raises TypeError for what is no application.
        """
        call = application_of(application, kind)
        base_url = base_url.rstrip("/")

        async def serve(attempt: EndpointCall) -> EndpointReply:
            try:
                self._watch.progress.called(attempt.json["runId"], attempt.json["stepId"], attempt.url)
            except NoProgressError as error:
                self._watch.found(error)
                raise
            # The context of the task of this attempt.
            CURRENT.set(self._wire)
            CALL.set(object())
            return await call(attempt)

        self._invoker.applications[base_url] = serve
        self._base_url = base_url
        self.attach()
        return base_url

    def attach(self) -> None:
        """Let clients of the SDK reach this engine in the calling thread and task. `serve` does so, too."""
        CURRENT.set(self._wire)

    def detach(self) -> None:
        """Let clients of the SDK in the calling thread and task reach their servers again."""
        CURRENT.set(None)

    def answer(self, endpoint: str, *answers: Any) -> Answers:
        """Answer in place of an endpoint, which is not called.

        - `endpoint`: the last part of its URL ("charge"), its path ("/orders/charge") or its URL.
        - `answers`: in order, the last one again and again: JSON values (results), exceptions (with
          `NonRetryable`, the step fails; `TimeoutError` and `ConnectionError` are no answer), an
          `EndpointReply`, or a function that makes one of these of an `EndpointCall`.

        Returns the fake; its `calls` are the attempts so far, each an `EndpointCall`.

        Raises TypeError without an answer.
        """
        fake = self._invoker.fakes[endpoint] = Answers(answers)
        return fake

    async def start(
        self,
        workflow: str,
        payload: Any = None,
        *,
        key: Key | None = None,
        name: str | None = None,
        **options: Unpack[StepOptions],
    ) -> Run:
        """Start a run. Time does not move.

        - `workflow`: its URL, or its path below the `base_url` of `serve` ("order", "orders/order").
        - `payload`: its input: JSON values, a model, a dataclass (default None).
        - `key`: its idempotency key (default: "1", "2" and so on).
        - `name`: its workflow name (default: the last part of the URL).
        - The options of `Client.start`: `retry`, `delay`, `start_at`, `start_by`, `deadline`,
          `attempt_timeout`, `on_lost`.

        Returns the run as it is then.

        Raises the errors of `Client.start`.
        """
        url = workflow if "://" in workflow else f"{self._base_url}/{workflow.lstrip('/')}"
        named = name or url.rstrip("/").rpartition("/")[2]
        key = str(next(self._keys)) if key is None else key
        started = await self.client.start(named, url, payload, key=key, timeout=0, **options)
        return await self.look(started.run_id)

    async def run(
        self,
        workflow: str,
        payload: Any = None,
        *,
        key: Key | None = None,
        name: str | None = None,
        within: timedelta = WITHIN,
        **options: Unpack[StepOptions],
    ) -> Run:
        """Start a run, and let time pass until it has ended, well or not.

        The arguments are those of `start` and `until`. Returns the run as it ended.

        Raises `NotReachedError` when it has not ended in time, and the errors of `Client.start`.
        """
        started = await self.start(workflow, payload, key=key, name=name, **options)
        return await self.until(started, within=within)

    async def look(self, run: Run | str) -> Run:
        """A run as it is now, with all of its steps.

        - `run`: the run, or its id.

        Raises `NotFoundError` for an unknown id.
        """
        run_id = run if isinstance(run, str) else run.id
        page = document = await self.client.get(run_id)
        steps = list(page.steps)
        while page.next is not None:
            page = RunDocument.model_validate_json((await self.request("GET", page.next)).body)
            steps += page.steps
        replays = self._watch.replays
        steps.sort(key=lambda step: (step.created_at, replays.place_of(step.id)))
        document = document.model_copy(update={"steps": steps, "next": None})
        return Run(document, replays.of(document.root.id))

    async def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Let this much time pass. What falls due in it is done, in its order, before this returns."""
        past = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
        if past < 0:
            raise ValueError("time never goes back")
        await self._watch.watched(asyncio.sleep(past))
        await self._watch.watched(asyncio.sleep(_INSTANT_S))

    async def until(
        self,
        run: Run | str,
        status: StatusName | None = None,
        *,
        step: str | None = None,
        within: timedelta = WITHIN,
    ) -> Run:
        """Let time pass until a run, or a step of it, has a status.

        - `run`: the run, or its id.
        - `status`: the status to wait for (default: any end; with `step`, any at all).
        - `step`: the name of a step, as in `run.steps`; an open event is a step, too (default: the run).
        - `within`: how much time may pass, as a timedelta (default 400 days).

        Returns the run as it is then. Time stands at the moment of the change.

        Raises `NotReachedError`, with the timeline of the run, when the time is over or the run has ended.
        """
        limit_s = self._loop.time() + within.total_seconds()
        while True:
            self._watch.progress.changed.clear()
            await self._watch.watched(asyncio.sleep(_INSTANT_S))
            seen = await self.look(run)
            if _fits(seen, status, step):
                return seen
            left_s = limit_s - self._loop.time()
            if left_s <= 0 or seen.status in SETTLED:
                wanted = f"{f'step {step!r}' if step else 'run'} {status or ('there' if step else 'ended')}"
                reason = "the run has ended" if left_s > 0 else f"{within} are over"
                raise NotReachedError(f"waited for {wanted}, but {reason}:\n{seen.timeline()}")
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._watch.watched(self._watch.progress.changed.wait())

    async def send_event(
        self,
        run: Run,
        name: str,
        result: Any = None,
        *,
        number: int = 1,
        next: bool = False,  # noqa: A002 - the word of the API
    ) -> EventOutcome:
        """Give an event of a run its result, also before the workflow waits for it.

        - `run`, `name`: which event.
        - `result`: what `event` returns to the workflow (default None).
        - `number`: which event of this name it is (default 1).
        - `next`: send a message to the first event of this name that has no result (default False).

        Returns the event. Time does not move: the workflow goes on by `advance`, `until` or `run`.

        Raises the errors of `Client.signal`.
        """
        return await self.client.signal(run.workflow_name, run.key, name, result, number=number, next=next)

    def blocking(self, work: Coroutine[Any, Any, Result]) -> Result:
        """For plain `def` tests and threads: `run = atomic_local.blocking(atomic_local.run("order"))`.

        Returns what the coroutine returns. Raises RuntimeError where an event loop waits for this call.
        """
        return self._wire.block(work)


def _fits(run: Run, status: str | None, step: str | None) -> bool:
    if step is None:
        return run.status == status if status else run.status in SETTLED
    return any(status in (None, each.status) for each in run.steps.all(step))
