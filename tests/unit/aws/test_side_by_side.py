"""Several real invokers, each with threads and an event loop, on one table (moto) and real HTTP."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import pytest

from answering import Answer, Answering
from atomic.adapters.aws.destinations import Bounds
from atomic.adapters.aws.wakeups import encode_wakeup
from atomic.domain.steps import Step
from atomic.entrypoints.aws.api import ApiFunction
from atomic.entrypoints.aws.invoker import InvokerFunction
from atomic.protocol.enums import Status
from contract.aws import aws
from unit.aws.test_handlers import batch, environment, gateway_event

INVOKERS = 5
BOUNDS = Bounds.of(INVOKERS)
WITHIN_S = 30


class Silent:
    """An endpoint that accepts calls, and answers none before it is released."""

    def __init__(self) -> None:
        self.came, self.let_go = threading.Semaphore(0), threading.Event()
        self.server = Answering(self._answer)

    def _answer(self, path: str, call: Any) -> Answer:
        self.came.release()
        self.let_go.wait(WITHIN_S)
        return 200, path

    def await_calls(self, number: int) -> None:
        """Wait until that many more calls arrived, and assert that there are no others."""
        assert all(self.came.acquire(timeout=WITHIN_S) for _ in range(number))
        assert not self.came.acquire(blocking=False)


@dataclass
class Stack:
    api: ApiFunction
    invokers: list[InvokerFunction]
    silent: Silent
    good: Answering
    key: str
    pool: ThreadPoolExecutor

    def post(self, url: str, key: str, **more: Any) -> str:
        """Start a step with a long attempt, without waiting for it; return its id."""
        document = {"workflowName": "w", "stepInvokeUrl": f"{url}/x", "idempotencyKey": key, **more}
        event = gateway_event("POST", "/acme", json.dumps(document | {"attemptTimeout": 60_000}))
        event["headers"] |= {"authorization": f"Bearer {self.key}", "prefer": "respond-async"}
        return str(json.loads(self.api(event, None)["body"])["id"])

    def drive(self, invoker: InvokerFunction, step_id: str) -> Future[Any]:
        """Pass the wake-up of a step to an environment."""
        return self.pool.submit(invoker, batch(encode_wakeup(step_id, 0)), None)

    def step(self, step_id: str) -> Step:
        """The row of a step."""
        step = self.api.runtime.run(self.api.runtime.engine.store.get(step_id))
        assert step is not None
        return step


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with aws() as account, ThreadPoolExecutor(INVOKERS) as pool:
        silent, good = Silent(), Answering(lambda path, _: (200, path))
        key, _ = account.admin().create("acme", base_urls=[silent.server.url, good.url])
        environ = environment(account)
        of_invoker = environ | {"ATOMIC_INVOKER": "long", "ATOMIC_INVOKERS_MAX": str(INVOKERS)}
        api, invokers = ApiFunction(environ), [InvokerFunction(of_invoker) for _ in range(INVOKERS)]
        yield Stack(api, invokers, silent, good, key, pool)
        silent.let_go.set()
        pool.shutdown()
        for function in (api, *invokers):
            function.runtime.close()
        for server in (silent.server, good):
            server.close()


def test_a_silent_endpoint_leaves_environments_to_others(stack: Stack) -> None:
    ids = [stack.post(stack.silent.server.url, f"k-{n}") for n in range(INVOKERS)]
    held = {
        stack.drive(invoker, step_id): (invoker, step_id)
        for invoker, step_id in zip(stack.invokers, ids, strict=True)
    }
    stack.silent.await_calls(BOUNDS.most)
    idle = []
    while len(idle) < INVOKERS - BOUNDS.most:
        done = wait(held, timeout=WITHIN_S, return_when=FIRST_COMPLETED).done
        assert done
        idle += [held.pop(each) for each in done]
    assert len(held) == BOUNDS.most
    for _, step_id in idle:
        step = stack.step(step_id)
        assert (step.status, step.attempt_count, step.retries_used) == (Status.PENDING, 0, 0)

    # The first free environment serves another destination.
    (free, _), (other, _) = idle
    elsewhere = stack.post(stack.good.url, "good")
    assert stack.drive(free, elsewhere).result(WITHIN_S) == {"batchItemFailures": []}
    assert stack.step(elsewhere).status is Status.SUCCEEDED

    # A further step of a run with a permit is called as long as one environment stays free; then no more.
    _, inside = next(iter(held.values()))
    steps = [
        stack.post(stack.silent.server.url, inside_key, parent=inside, stepName="s")
        for inside_key in ("s-1", "s-2")
    ]
    going_in = stack.drive(free, steps[0])
    stack.silent.await_calls(BOUNDS.inside - BOUNDS.most)
    assert stack.drive(other, steps[1]).result(WITHIN_S) == {"batchItemFailures": []}
    assert stack.step(steps[1]).attempt_count == 0

    stack.silent.let_go.set()
    for each in (*held, going_in):
        assert each.result(WITHIN_S) == {"batchItemFailures": []}
    assert {stack.step(step_id).status for _, step_id in held.values()} == {Status.SUCCEEDED}
