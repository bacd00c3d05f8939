"""Tags of runs in the SDK."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from atomic import AsyncClient, Client, Context, InvalidRequestError
from atomic.sdk.flask import Endpoints
from atomic.sdk.schedules import Every
from sdk.threads import wsgi_server


@pytest.fixture
def app_url(atomic_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "tags")
    app = Flask("tags")
    served = Endpoints(app)

    @served.step
    def child() -> str:
        return "done"

    @served.workflow
    def parent(ctx: Context) -> Any:
        return ctx.run_workflow(child, workflow_name="child", key="child-1", tags={"of": "child"})

    with wsgi_server(app) as url:
        yield url


def test_runs_are_tagged_and_found(app_url: str) -> None:
    with Client() as client:
        outcome = client.start("parent", f"{app_url}/parent", key="a", tags={"of": "parent", "env": "é"})
        assert (outcome.response, outcome.tags) == ("done", {"of": "parent", "env": "é"})
        [parent] = client.runs(tag="of:parent")
        [child] = client.runs(tag=["of:child"], workflow_name="child")
        assert (parent.run_id, child.idempotency_key, child.tags) == (
            outcome.run_id,
            "child-1",
            {"of": "child"},
        )
        assert client.runs(tag=["of:parent", "of:child"]) == []
        schedule = client.schedules.put(
            "daily", Every(86_400, tags={"of": "day"}), "child", f"{app_url}/child"
        )
        assert schedule.start["tags"] == {"of": "day"}
        client.schedules.delete("daily")


def test_the_same_in_async_code(app_url: str) -> None:
    async def main() -> None:
        async with AsyncClient() as client:
            outcome = await client.start("child", f"{app_url}/child", key="b", tags={"of": "b"})
            assert [run.run_id for run in await client.runs(tag="of:b")] == [outcome.run_id]

    asyncio.run(main())


@pytest.mark.parametrize("tags", [["customer:c-17"], "customer:c-17", {"n": 7}, {7: "n"}, None])
def test_tags_that_are_no_texts_are_refused_at_the_call(app_url: str, tags: Any) -> None:
    with Client() as client, pytest.raises(InvalidRequestError, match="tags: use names with texts"):
        client.start("child", f"{app_url}/child", key="c", tags=tags)
