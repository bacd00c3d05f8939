"""When a suspended handler is called again: `Atomic-Wake`, with named steps and with every child."""

from functools import partial
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Handler, Runtime, always, answer_ok
from scenarios.starts import Gate, document

NO_RETRY = {"count": 0}


class FailingGate(Gate):
    """An endpoint that fails once it is opened."""

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """One call."""
        await super().__call__(call)
        return EndpointReply(status=500)


class Fan:
    """A handler that posts a step to each URL, and waits as it is told to; it sees what each answered."""

    def __init__(
        self, runtime: Runtime, urls: list[str], *, wake: str | None, every_child: bool, wait: int = 0
    ) -> None:
        self._runtime, self._urls = runtime, urls
        self._wake, self._every_child, self._wait = wake, every_child, wait
        self.seen: list[list[int]] = []

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        prefer = f"wait={self._wait}" if self._wait else "respond-async"
        replies = [
            await self._runtime.start(
                document(url, key="k-1", parent=call.json["stepId"], retry=NO_RETRY), Prefer=prefer
            )
            for url in self._urls
        ]
        self.seen.append([reply.status for reply in replies])
        live = [reply.json["id"] for reply in replies if reply.status in {202, 504}]
        if not live:
            return EndpointReply(json=self.seen[-1])
        headers = {"Atomic-Waiting-For": "*" if self._every_child else ", ".join(live)}
        if self._wake is not None:
            headers["Atomic-Wake"] = self._wake
        return EndpointReply(status=202, headers=headers)


async def begin(runtime: Runtime, fan: Handler, path: str = "/root") -> str:
    """Start the workflow; its id, once it waits."""
    root = runtime.endpoint(path, fan)
    reply = await runtime.start(document(root, retry=NO_RETRY), Prefer="respond-async")
    await runtime.step_in(reply.json["id"], "waiting")
    root_id: str = reply.json["id"]
    return root_id


async def _three(runtime: Runtime, wake: str, *, every_child: bool) -> None:
    gates = [Gate() for _ in range(3)]
    urls = [runtime.endpoint(f"/leaf-{number}", gate) for number, gate in enumerate(gates)]
    fan = Fan(runtime, urls, wake=wake, every_child=every_child)
    root_id = await begin(runtime, fan)
    waiting = (await runtime.get(f"/steps/{root_id}")).json
    assert waiting["waitingFor"] == ["*"] if every_child else len(waiting["waitingFor"]) == 3

    for gate, url in zip(gates, urls, strict=True):
        assert len(fan.seen) == 1
        gate.open()
        await runtime.until(partial(_is_called, runtime, url))

    root = await runtime.step_in(root_id, "succeeded")
    assert fan.seen == [[202, 202, 202], [200, 200, 200]]
    assert (root["attempts"], root["retriesUsed"], root["waitingFor"]) == (2, 0, [])


async def _is_called(runtime: Runtime, url: str) -> bool:
    return len(runtime.calls(url)) == 1


async def scenario_a_handler_that_waits_for_all_of_its_steps_is_called_once_more(runtime: Runtime) -> None:
    await _three(runtime, "all", every_child=False)


async def scenario_a_handler_that_waits_for_every_child_names_none(runtime: Runtime) -> None:
    await _three(runtime, "all", every_child=True)


async def scenario_a_handler_that_waits_until_all_are_settled(runtime: Runtime) -> None:
    await _three(runtime, "settled", every_child=True)


async def scenario_who_waits_for_all_is_called_as_soon_as_one_has_failed(runtime: Runtime) -> None:
    for number, every_child in enumerate((True, False)):
        gates = [Gate() for _ in range(4)]
        urls = [runtime.endpoint(f"/held-{number}-{n}", gate) for n, gate in enumerate(gates)]
        failing = FailingGate()
        urls.append(runtime.endpoint(f"/failing-{number}", failing))
        fan = Fan(runtime, urls, wake="all", every_child=every_child)
        root = runtime.endpoint(f"/root-{number}", fan)
        started = await runtime.start(document(root, key=f"r-{number}"), Prefer="respond-async")
        await runtime.step_in(started.json["id"], "waiting")

        failing.open()

        await runtime.until(partial(_has_seen, fan, 2))
        assert fan.seen[1] == [202, 202, 202, 202, 424]
        # It goes on without it, and waits for the rest.
        for gate in gates:
            gate.open()
        ended = await runtime.step_in(started.json["id"], "succeeded")
        assert fan.seen[-1] == [200, 200, 200, 200, 424]
        # A failure that it may not have seen is told once more.
        assert len(fan.seen) <= 4
        assert ended["retriesUsed"] == 0


async def _has_seen(fan: Fan, calls: int) -> bool:
    return len(fan.seen) >= calls


async def scenario_who_waits_until_all_are_settled_is_not_called_for_a_failure(runtime: Runtime) -> None:
    held = Gate()
    failing = runtime.endpoint("/failing", always(500))
    fan = Fan(runtime, [runtime.endpoint("/held", held), failing], wake="settled", every_child=False)
    root_id = await begin(runtime, fan)
    await runtime.until(partial(_is_called, runtime, failing))
    assert len(fan.seen) == 1

    held.open()

    await runtime.step_in(root_id, "succeeded")
    assert fan.seen == [[202, 202], [200, 424]]


async def scenario_any_of_every_child_wakes_its_handler(runtime: Runtime) -> None:
    gates = [Gate(), Gate()]
    urls = [runtime.endpoint(f"/leaf-{number}", gate) for number, gate in enumerate(gates)]
    fan = Fan(runtime, urls, wake=None, every_child=True)
    root_id = await begin(runtime, fan)

    gates[1].open()

    await runtime.until(partial(_has_seen, fan, 2))
    assert fan.seen[1] == [202, 200]
    gates[0].open()
    await runtime.step_in(root_id, "succeeded")


async def scenario_steps_that_were_told_unfinished_do_not_wake_who_waits_for_all(runtime: Runtime) -> None:
    gates = [Gate(), Gate()]
    urls = [runtime.endpoint(f"/leaf-{number}", gate) for number, gate in enumerate(gates)]
    fan = Fan(runtime, urls, wake="all", every_child=False, wait=1)
    root_id = await begin(runtime, fan)
    assert fan.seen == [[504, 504]]

    for gate, url in zip(gates, urls, strict=True):
        assert len(fan.seen) == 1
        gate.open()
        await runtime.until(partial(_is_called, runtime, url))

    await runtime.step_in(root_id, "succeeded")
    assert fan.seen == [[504, 504], [200, 200]]


async def scenario_an_unknown_wake_fails_the_attempt(runtime: Runtime) -> None:
    held = Gate()
    fan = Fan(runtime, [runtime.endpoint("/held", held)], wake="both", every_child=False)
    root = runtime.endpoint("/root", fan)

    reply = await runtime.finish(document(root, retry=NO_RETRY))

    assert (reply.status, reply.json["lastErrorKind"]) == (424, "unknown_wake")
    assert reply.json["lastError"] == "atomic-wake may be any, all or settled, and not 'both'"
    held.open()


async def scenario_who_waits_for_children_and_has_none_has_failed(runtime: Runtime) -> None:
    for number, wake in enumerate(("any", "all", "settled")):
        headers = {"Atomic-Waiting-For": "*", "Atomic-Wake": wake}

        async def handler(call: EndpointCall, headers: dict[str, str] = headers) -> EndpointReply:
            return EndpointReply(status=202, headers=headers)

        root = runtime.endpoint(f"/root-{number}", handler)
        reply = await runtime.finish(document(root, key=f"k-{number}", retry=NO_RETRY))
        assert (reply.status, reply.json["lastErrorKind"]) == (424, "waited_for_nothing")


async def scenario_timers_and_events_are_waited_for_like_other_steps(runtime: Runtime) -> None:
    leaf_url = runtime.endpoint("/leaf", answer_ok)
    event_ids: list[str] = []
    seen: list[Any] = []

    async def handler(call: EndpointCall) -> EndpointReply:
        common = {"workflowName": "w", "idempotencyKey": "k", "parent": call.json["stepId"]}
        timer = {**common, "kind": "timer", "stepName": "nap", "delay": runtime.ms(50)}
        event = {**common, "kind": "event", "stepName": "mail"}
        leaf = document(leaf_url, key="k-1", parent=call.json["stepId"])
        replies = [await runtime.start(each, Prefer="respond-async") for each in (timer, event, leaf)]
        seen.append([reply.status for reply in replies])
        if replies[1].status == 202:
            event_ids.append(replies[1].json["id"])
            return EndpointReply(status=202, headers={"Atomic-Waiting-For": "*", "Atomic-Wake": "all"})
        return EndpointReply()

    root_id = await begin(runtime, handler)
    [event_id] = event_ids
    await runtime.until(partial(_is_called, runtime, leaf_url))
    await runtime.post(f"/steps/{event_id}/result", "came")

    await runtime.step_in(root_id, "succeeded")
    assert seen[-1] == [200, 200, 200]
    assert len(seen) == 2
