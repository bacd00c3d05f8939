"""A model of an account in virtual time: its functions share the environments that it may run at once.

The engine, the API, the queue adapter and the SDK are the real ones, an engine for each environment.
Lambda, the gateway, SQS and the delays of all of them are models.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, TypeVar

from atomic.adapters.aws.scheduler import WakeupScheduler
from atomic.adapters.aws.sqs import SqsWakeupQueue, StepQueue
from atomic.adapters.aws.wakeups import parse_wakeup
from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.bulk import do_bulk
from atomic.application.engine import Engine, Settings
from atomic.application.process_wakeup import process_wakeup
from atomic.domain.steps import Step
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest
from atomic.entrypoints.http_api.routes import handle
from atomic.runtime.inflight import Tasks
from atomic.runtime.polling import PollingNotifier
from atomic.sdk import AsyncClient, AsyncContext
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.serving import RawPath, Request
from atomic.sdk._wire.transport import TRANSIENT, HttpRequest, HttpResponse
from atomic.sdk.errors import StepFailedError
from atomic.testing import EndpointCall, EndpointReply, run
from atomic.testing.endpoints import FunctionInvoker
from atomic.testing.local import SeededEntropy, open_registry
from atomic.testing.virtual_time import LoopClock
from atomic.testing.watching import SilentTelemetry

Done = TypeVar("Done")
HOST: Final = "https://app.test"
ROOTS, STEPS, INVOKERS, LONG_INVOKERS = "roots", "steps", "invokers", "long invokers"
# A second queue of the invokers.
WATCHDOGS: Final = "watchdogs"
_BATCHING_WINDOW_S: Final = 20.0
_COLD_S: Final = 0.35
_ANSWER_WITHIN_S: Final = 28.0
_RECEIVES_MAX: Final = 10
_VISIBILITY_S: Final = 360.0
# What the gateway itself answers when Lambda has no environment for a request.
_NO_ENVIRONMENT: Final = HttpResponse(
    status=503, body=b'{"message":"Service Unavailable"}', url=HOST, at_s=0.0, jitter=0.0
)


@dataclass(frozen=True, slots=True)
class Account:
    """The limits of an account: its environments, those reserved for functions, and MaximumConcurrency."""

    environments: int
    invokers_max: int
    reserved: Mapping[str, int]

    def admits(self, function: str, running: Counter[str]) -> bool:
        """Whether Lambda has an environment for the function."""
        if function in self.reserved:
            return running[function] < self.reserved[function]
        shared = self.environments - sum(self.reserved.values())
        return sum(number for name, number in running.items() if name not in self.reserved) < shared


class Rows(MemoryStepStore):
    """A store whose operations take some milliseconds."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    async def _late(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.004, 0.008))

    async def create(self, step: Step) -> Step | None:
        await self._late()
        return await super().create(step)

    async def replace(self, step: Step, expected_version: int) -> Step | None:
        await self._late()
        return await super().replace(step, expected_version)

    async def get(self, step_id: str) -> Step | None:
        await self._late()
        return await super().get(step_id)

    async def child_steps(self, parent_id: str, **page: Any) -> Any:
        await self._late()
        return await super().child_steps(parent_id, **page)


class Environment:
    """One environment of a function, with an engine of its own."""

    def __init__(self, pool: "Pool", seed: int) -> None:
        self.tasks = Tasks()
        self.engine = Engine(
            store=pool.store,
            queue=pool.queue,
            invoker=pool.invoker,
            own=do_bulk,
            notifier=PollingNotifier(self.tasks.is_busy),
            clients=open_registry(),
            telemetry=SilentTelemetry(),
            clock=LoopClock(),
            entropy=SeededEntropy(seed),
            spawn=self.tasks.spawn,
            settings=Settings(
                wait_max_ms=25_000, inline_attempt_max_ms=20_000, public_url="https://atomic.test"
            ),
        )
        self._api = Api(engine=self.engine)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer as `entrypoints.aws.api` does; Lambda freezes the environment afterwards."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _ANSWER_WITHIN_S
        path, _, query = request.target.removeprefix("https://atomic.test").partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = ApiRequest(
            method=request.method, path=path, query=query, headers=headers, body=request.body
        )
        response = await handle(self._api, asked)
        await self.tasks.quiet(until_s - loop.time())
        answered = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(
            status=response.status, headers=answered, body=response.body, at_s=0.0, jitter=0.0
        )


class Pool:
    """The functions of a stack in an account, and the endpoints that they call."""

    def __init__(self, account: Account, seed: int) -> None:
        self.chance = random.Random(seed)
        self.invoker, self.store = FunctionInvoker(), Rows(self.chance)
        self.running: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        self.lost_wakeups = 0
        self.busy_s = 0.0
        self._account = account
        self._seed = seed
        self._free: dict[str, list[Environment]] = {}
        self._messages: dict[str, deque[str]] = {
            name: deque() for name in (INVOKERS, LONG_INVOKERS, WATCHDOGS)
        }
        self._receiving: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        client: Any = self
        self.queue = SqsWakeupQueue(
            client,
            client,
            queue=StepQueue(INVOKERS, "arn:short"),
            long_queue=StepQueue(LONG_INVOKERS, "arn:long"),
            watchdog_queue=StepQueue(WATCHDOGS, "arn:watchdogs"),
            dead_letter_url="dead",
            scheduler=WakeupScheduler(
                client, group_name="g", role_arn="arn:aws:iam::1:role/r", dead_letter_arn="d"
            ),
            clock=LoopClock(),
        )

    async def invoke(self, function: str, work: Callable[[Environment], Awaitable[Done]]) -> Done | None:
        """Do the work in an environment of the function; None when there is none."""
        if not self._account.admits(function, self.running):
            self.throttled[function] += 1
            return None
        self.running[function] += 1
        began_s = asyncio.get_running_loop().time()
        free = self._free.setdefault(function, [])
        try:
            if not free:
                await asyncio.sleep(_COLD_S)
            self._seed += 1
            environment = free.pop() if free else Environment(self, self._seed)
            try:
                return await work(environment)
            finally:
                free.append(environment)
        finally:
            self.running[function] -= 1
            self.busy_s += asyncio.get_running_loop().time() - began_s

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer a request as the gateway does."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.chance.uniform(0.005, 0.015))
        is_step = request.method == "POST" and request.target.endswith("/steps")
        # A request goes on when its caller has gone.
        invocation = asyncio.ensure_future(
            self.invoke(STEPS if is_step else ROOTS, lambda environment: environment.answer(request))
        )
        answer = await asyncio.shield(invocation) or _NO_ENVIRONMENT
        return HttpResponse(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            url=HOST,
            at_s=loop.time(),
            jitter=self.chance.random(),
        )

    # SQS, as the queue adapter calls it through `AwsCalls`.

    def start(self, call: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        """Implements `AwsCalls`."""
        return asyncio.ensure_future(self._called(call, *args))

    async def _called(self, call: Callable[..., Any], *args: Any) -> Any:
        await asyncio.sleep(self.chance.uniform(0.004, 0.008))
        return call(*args)

    def send_message(self, *, QueueUrl: str, MessageBody: str, DelaySeconds: int = 0, **_: Any) -> None:  # noqa: N803 - boto's names
        if QueueUrl in self._messages:
            late_s = DelaySeconds + self.chance.uniform(0.015, 0.06)
            late_s += _BATCHING_WINDOW_S if QueueUrl == WATCHDOGS else 0.0
            asyncio.get_running_loop().call_later(late_s, self._arrived, QueueUrl, MessageBody)

    def _arrived(self, queue: str, body: str) -> None:
        self._messages[queue].append(body)
        if self._receiving[queue] < self._account.invokers_max:
            self._receiving[queue] += 1
            task = asyncio.create_task(self._receive(queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _receive(self, queue: str) -> None:
        """Hand over batches while there are messages, as one of the pollers of an event source does."""
        messages = self._messages[queue]
        while messages:
            most = 100 if queue == WATCHDOGS else 10
            batch = [messages.popleft() for _ in range(min(most, len(messages)))]
            await self._hand_over(queue, batch)
        self._receiving[queue] -= 1

    async def _hand_over(self, queue: str, batch: list[str]) -> None:
        """Try until an environment takes the batch. A batch that none takes comes again, ten times."""
        pause_s, waited_s = 0.5, 0.0
        only_looks = queue == WATCHDOGS
        function = INVOKERS if only_looks else queue
        while await self.invoke(function, lambda each: self._take(each, batch, only_looks)) is None:
            pause_s = min(2 * pause_s, 20.0) * self.chance.uniform(0.5, 1.0)
            waited_s += pause_s
            await asyncio.sleep(pause_s)
            if waited_s > _VISIBILITY_S * _RECEIVES_MAX:
                self.lost_wakeups += len(batch)
                return

    async def _take(self, environment: Environment, batch: list[str], only_looks: bool) -> bool:
        engine, wakeups = environment.engine, [parse_wakeup(body) for body in batch]
        await asyncio.gather(
            *(process_wakeup(engine, each.step_id, each.at_ms, only_looks=only_looks) for each in wakeups)
        )
        await environment.tasks.quiet(60.0)
        return True


class PoolClient(AsyncClient):
    """An SDK client whose requests go to the pool's gateway."""

    def __init__(self, pool: Pool) -> None:
        super().__init__("https://atomic.test", client_id="me")
        self._pool = pool

    async def _send(self, request: HttpRequest) -> HttpResponse:
        return await self._pool.send(request)


@dataclass(frozen=True, slots=True)
class Result:
    """What callers saw, in seconds from the first post to the outcome, and what it cost.

    `busy_s` is how long environments were occupied, added up.
    """

    times_s: list[float]
    failed: int
    retries: int
    throttled: Counter[str]
    busy_s: float
    lost_wakeups: int

    @property
    def p50_s(self) -> float:
        """The median."""
        return median(self.times_s)


def played(
    account: Account,
    *,
    callers: int,
    step_s: float,
    steps: int = 3,
    seed: int = 0,
    posts_only: bool = False,
) -> Result:
    """So many callers begin a workflow of some steps at once, and wait.

    `posts_only`: they post by `respond-async`, and look at the run once a second.
    """

    async def main() -> Result:
        pool = Pool(account, seed)
        client = PoolClient(pool)

        async def workflow(ctx: AsyncContext) -> None:
            for number in range(steps):
                await ctx.step("step", number)

        endpoint = Endpoint(workflow, is_workflow=True, options={"client": client})

        async def serve(call: EndpointCall) -> EndpointReply:
            at = RawPath("", call.url.removeprefix(HOST))
            answer = await endpoint.answer_async(
                Request(origin=HOST, at=at, headers=call.headers, body=call.body)
            )
            return EndpointReply(status=answer.status, body=answer.body, headers=dict(answer.headers))

        async def step(_: EndpointCall) -> EndpointReply:
            await asyncio.sleep(step_s)
            return EndpointReply(json="done")

        pool.invoker.handlers |= {f"{HOST}/main": serve, f"{HOST}/step": step}
        times_s = await asyncio.gather(
            *(_call(client, number, posts_only=posts_only) for number in range(callers))
        )
        rows = pool.store._rows.values()
        return Result(
            times_s=times_s,
            failed=sum(row.is_dead_letter for row in rows),
            retries=sum(row.retries_used for row in rows),
            throttled=pool.throttled,
            busy_s=pool.busy_s,
            lost_wakeups=pool.lost_wakeups,
        )

    return run(main())


async def _call(client: PoolClient, number: int, *, posts_only: bool) -> float:
    """Start a run and wait for its outcome. A caller that is refused for long tries again."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while loop.time() < began_s + 3600:
        try:
            started = await client.start(
                "w", f"{HOST}/main", key=str(number), timeout=0 if posts_only else None
            )
            while started.status not in {"succeeded", "failed"}:
                await asyncio.sleep(1)
                started = await client.step(started.id)
            return loop.time() - began_s
        except StepFailedError:
            break
        except TRANSIENT:
            continue
    return loop.time() - began_s
