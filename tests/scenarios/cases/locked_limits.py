"""What clients with limits use of them."""

from typing import Any

from scenarios.cases.locked import start_as
from scenarios.locked_clients import LIVE_STEPS, MANAGED, SLOW, SMALL, STARTS_PER_S, STORED_BYTES
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import document

_NONE = {"limit": None, "used": None, "countedAt": None}


async def _limits(runtime: Runtime, client: str) -> dict[str, Any]:
    reply = await runtime.request("GET", f"/{client}/limits", key_of=client)
    assert reply.status == 200, reply.body
    return reply.json


async def scenario_a_client_reads_what_it_uses_of_its_limits(runtime: Runtime) -> None:
    url, text = runtime.endpoint("/app/used", answer_ok), "x" * 300
    before = (await _limits(runtime, SMALL))["storedBytes"]
    assert before["limit"] == STORED_BYTES
    # Another scenario may have used some of it.
    posted = await start_as(runtime, SMALL, document(url, key="used", payload=text))

    async def is_counted() -> bool:
        found = await _limits(runtime, SMALL)
        assert found["liveSteps"] == _NONE
        used = found["storedBytes"]["used"] - before["used"]
        return bool(used >= len(text) if posted.status == 200 else used >= 0)

    await runtime.until(is_counted)
    # What is left of a second says nothing about the next one.
    starts = (await _limits(runtime, SLOW))["startsPerSecond"]
    assert starts == {"limit": STARTS_PER_S, "used": None, "countedAt": None}
    live = (await _limits(runtime, MANAGED[0]))["liveSteps"]
    assert live["limit"] == LIVE_STEPS
    # On AWS it may not have been counted yet.
    assert live["used"] in {None, 0}
    other = await runtime.request("GET", f"/{SMALL}/limits", key_of=SLOW)
    assert other.status == 404
