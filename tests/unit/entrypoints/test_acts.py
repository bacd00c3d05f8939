"""Which requests are in the audit log, and what becomes of an act when the log fails."""

import asyncio
from typing import Any

import pytest

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application.audit_log import ActQuery
from atomic.application.ports import StoreUnavailable
from atomic.domain.acts import Act
from atomic.domain.clients.client import Client
from atomic.entrypoints.http_api.api import Api, Table, answer
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.route import Operation, Routes
from atomic.entrypoints.http_api.routes import ROUTES, handle
from atomic.testing.local import LocalAtomic

# What changes something and is the work of workflows: starts, steps, events.
WORK = {
    "start",
    "postStep",
    "postAnswer",
    "postEvent",
    "postResult",
    "rejectEvent",
    "postHeartbeat",
    "postCallback",
    "approveCallback",
    "rejectCallback",
    "heartbeatCallback",
}
CANCEL = ApiRequest(method="POST", path=f"/dev/runs/run_{32 * 'a'}/cancel", source="203.0.113.7")


def an_api(store: MemoryStepStore) -> Api:
    return Api(engine=LocalAtomic(store=store).engine)


def test_each_route_that_changes_something_is_an_act_or_work() -> None:
    changing = {
        route.operation.id: route.is_act
        for route in ROUTES
        if route.operation and route.method not in {"GET", "OPTIONS"}
    }
    unnamed = {name for name, is_act in changing.items() if is_act is (name in WORK)}
    assert unnamed == set(), "a new route: say is_act=True, or add it to WORK"
    assert changing.keys() >= WORK
    assert not any(route.is_act for route in ROUTES if route.method == "GET")


def test_each_act_needs_a_scope_and_says_which_client() -> None:
    for route in ROUTES:
        if route.is_act:
            assert route.scope
            assert route.names[:1] == ["clientId"] or route.template == "/clients"


class Failing(MemoryStepStore):
    """A store whose audit log takes nothing."""

    async def add_act(self, act: Act, until_ms: int) -> None:
        raise StoreUnavailable(kind="full")


def test_an_act_stands_when_it_cannot_be_noted(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> ApiResponse:
        return await handle(an_api(Failing()), CANCEL)

    assert asyncio.run(body()).status == 404
    [record] = [each for each in caplog.records if each.name == "atomic.audit"]
    said: Any = vars(record)
    assert (said["action"], said["clientId"], said["status"]) == ("cancelRun", "dev", 404)


async def _acts(store: MemoryStepStore) -> list[Act]:
    return [*(await store.acts(ActQuery(client_id="dev"))).acts]


def test_an_act_that_is_given_up_is_noted_without_a_status() -> None:
    routes = Routes()
    begun = asyncio.Event()

    @routes.add(
        "POST", "/{clientId}/forever", Operation(id="forever", summary=""), scope="act", is_act=True
    )
    async def forever(_api: object, _request: ApiRequest, _client: Client) -> ApiResponse:
        begun.set()
        return await asyncio.Future()

    async def body() -> None:
        store = MemoryStepStore()
        request = ApiRequest(method="POST", path="/dev/forever", source="203.0.113.7")
        asked = asyncio.create_task(answer(Table(routes), an_api(store), request))
        await begun.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        [act] = await _acts(store)
        assert (act.action, act.status, act.source) == ("forever", None, "203.0.113.7")

    asyncio.run(body())


def test_an_act_that_fails_is_noted_as_it_is_answered() -> None:
    class Down(MemoryStepStore):
        async def get(self, step_id: str) -> None:
            raise StoreUnavailable

    async def body() -> None:
        store = Down()
        assert (await handle(an_api(store), CANCEL)).status == 503
        [act] = await _acts(store)
        assert (act.status, act.target) == (503, {"runId": f"run_{32 * 'a'}"})

    asyncio.run(body())
