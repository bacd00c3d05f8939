"""User creation as in the original sequence diagram: plain HTTP, with its own retry options.

The workflow and all its steps have the same key. No step names a wait or a parent. The client raises on any
status but 200. Mail and analytics are awaited inside the list of `Promise.all`, so they run one after the
other.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Runtime

RETRY = {"count": 10, "backOff": 1000}
BASE = "/workflows/userCreation"
ADA = {"userName": "ada", "email": "ada@example.com"}


class NotOkError(Exception):
    """The client's error for any status but 200."""


class Application:
    """The user's application.

    `drawn` records its calls and those of Atomic, as in the diagram. Analytics answers 404 a number of
    times, or until it is up; `analytics_retry` is the policy of that step.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        refusals: int = 0,
        down_s: float = 0,
        analytics_retry: Mapping[str, int] = RETRY,
    ) -> None:
        self.drawn: list[str] = []
        self.posts_of_the_user = 0
        self._runtime = runtime
        self._refusals = refusals
        self._up_at_s = runtime.now_s() + down_s
        self._retry = {"createUser": RETRY, "sendEmail": RETRY, "sendAnalytics": analytics_retry}
        self.index = runtime.endpoint(f"{BASE}/index", self._create_user_workflow)
        handlers = {
            "createUser": self._create_user_step,
            "sendEmail": self._create_user_email_step,
            "sendAnalytics": self._create_user_analytics_step,
        }
        self.steps = {
            name: runtime.endpoint(f"{BASE}/steps/{name}", handler) for name, handler in handlers.items()
        }

    async def create_user(self, key: str) -> dict[str, Any]:
        """What the user calls, repeatedly until it succeeds."""
        self.drawn.append("post index")
        while True:
            self.posts_of_the_user += 1
            try:
                created = await self._post_workflow("createUser", self.index, key, ADA, timeout=8000)
            except NotOkError:
                continue
            return {"status": 200, "userId": created["id"]}

    async def _create_user_workflow(self, call: EndpointCall) -> EndpointReply:
        self.drawn.append("invoke index")
        key, payload = call.json["idempotencyKey"], call.payload
        created = await self._perform_workflow_step("createUser", key, payload)
        await self._perform_workflow_step("sendEmail", key, created["response"])
        await self._perform_workflow_step("sendAnalytics", key, created["response"])
        return self._returned("index", 200)

    async def _create_user_step(self, call: EndpointCall) -> EndpointReply:
        assert call.payload == ADA
        return self._returned("createUser", 200)

    async def _create_user_email_step(self, call: EndpointCall) -> EndpointReply:
        return self._returned("sendEmail", 200)

    async def _create_user_analytics_step(self, call: EndpointCall) -> EndpointReply:
        self._refusals -= 1
        is_down = self._refusals >= 0 or self._runtime.now_s() < self._up_at_s
        return self._returned("sendAnalytics", 404 if is_down else 200)

    def _returned(self, name: str, status: int) -> EndpointReply:
        """The answer of a function that returns nothing."""
        self.drawn.append(f"{name} answers {status}")
        return EndpointReply(status=status, body=b"")

    async def _perform_workflow_step(self, name: str, key: str, payload: Any) -> dict[str, Any]:
        self.drawn.append(f"post {name}")
        return await self._post_workflow(
            "createUser", self.steps[name], key, payload, retry=self._retry[name]
        )

    async def _post_workflow(
        self, workflow_name: str, url: str, key: str, payload: Any, **options: Any
    ) -> dict[str, Any]:
        document = {"workflowName": workflow_name, "stepInvokeUrl": url, "idempotencyKey": key}
        reply = await self._runtime.start({**document, "payload": payload, **options})
        if reply.status != 200:
            raise NotOkError(f"{url} answered {reply.status}")
        answer: dict[str, Any] = reply.json
        return answer


async def root_of(runtime: Runtime, answer: dict[str, Any]) -> dict[str, Any]:
    """The root step of a user's creation."""
    root: dict[str, Any] = (await runtime.get(f"/steps/{answer['userId']}")).json
    return root


async def scenario_user_creation_is_played_as_it_was_drawn(runtime: Runtime) -> None:
    app = Application(runtime, refusals=3)

    answer = await app.create_user("k-1")

    assert app.drawn == [
        "post index",
        "invoke index",
        "post createUser",
        "createUser answers 200",
        "post sendEmail",
        "sendEmail answers 200",
        "post sendAnalytics",
        "sendAnalytics answers 404",
        "sendAnalytics answers 404",
        "sendAnalytics answers 404",
        "sendAnalytics answers 200",
        "index answers 200",
    ]
    root = await root_of(runtime, answer)
    assert (root["status"], root["attempts"], root["retriesUsed"]) == ("succeeded", 1, 0)
    assert (root["payload"], root["response"]) == (ADA, None)
    # Three delays of at most one, two and four seconds: less than the eight seconds that the user waits.
    assert app.posts_of_the_user == 1 or not runtime.is_virtual


async def scenario_the_workflow_uses_no_retry_while_analytics_is_down(runtime: Runtime) -> None:
    """Analytics is down for an hour in virtual time, and elsewhere for longer than a handler's post waits.

    Ten retries of a second last nine minutes, so the analytics step has more. The workflow has the default
    policy.
    """
    down_s = 3600 if runtime.is_virtual else 18
    policy = {"count": 1000, "backOff": 1000, "maxBackOff": 60_000 if runtime.is_virtual else 1000}
    app = Application(runtime, down_s=down_s, analytics_retry=policy)
    began_s = runtime.now_s()

    answer = await app.create_user("k-1")

    assert runtime.now_s() - began_s >= down_s
    root = await root_of(runtime, answer)
    assert (root["status"], root["retriesUsed"]) == ("succeeded", 0)
    # The handler got 504 and raised. It is called again only when analytics is done.
    assert [attempt["status"] for attempt in root["attemptLog"]] == [500, 200]
    said = Counter(app.drawn)
    assert said["sendAnalytics answers 404"] > 5
    assert {said[f"{name} answers 200"] for name in ("index", *app.steps)} == {1}
    assert app.drawn[-1] == "index answers 200"
