"""Pause and resume in the SDK."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from atomic import AsyncClient, Client, InvalidRequestError, RefusedError, Retry
from atomic.sdk.flask import Endpoints
from atomic.sdk.retry import local_retry, retry_document
from sdk.threads import wsgi_server


@pytest.fixture
def app_url(atomic_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "pauses")
    app = Flask("pauses")
    served = Endpoints(app)
    served.step(name="work")(lambda: "done")
    with wsgi_server(app) as url:
        yield url


def test_a_run_starts_paused_and_goes_on(app_url: str) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    with Client() as client:
        run = client.start("work", f"{app_url}/work", key="a", paused=True, timeout=0)
        assert run.status == "pending"
        paused = client.pause(run.run_id, note="wait", until=until).paused
        assert paused is not None
        assert (paused.note, paused.by) == ("wait", None)
        assert datetime.fromisoformat(paused.until or "") - until < timedelta(milliseconds=1)
        assert client.pause(run.run_id).paused == paused
        assert client.resume(run.run_id).paused is None
        assert client.wait(run.id).response == "done"
        with pytest.raises(RefusedError) as refused:
            client.pause(run.run_id)
        assert refused.value.code == "run-ended"
        with pytest.raises(InvalidRequestError, match="until: use a datetime with a time zone"):
            client.pause(run.run_id, until=until.replace(tzinfo=None))


def test_the_same_in_async_code(app_url: str) -> None:
    async def main() -> None:
        async with AsyncClient() as client:
            run = await client.start("work", f"{app_url}/work", key="b", paused=True, timeout=0)
            assert (await client.pause(run.run_id, note="wait")).paused is not None
            assert (await client.resume(run.run_id)).paused is None
            assert (await client.wait(run.id)).response == "done"

    asyncio.run(main())


def test_a_workflow_is_paused_and_goes_on(app_url: str) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    with Client() as client:
        paused = client.pause_workflow("work/hard", note="wait").paused
        assert paused is not None
        assert (paused.note, paused.until) == ("wait", None)
        ends = client.pause_workflow("work/hard", until=until).paused
        assert ends is not None
        assert datetime.fromisoformat(ends.until or "") - until < timedelta(milliseconds=1)
        assert client.workflow_state("work/hard").paused == ends
        assert [each.workflow_name for each in client.paused_workflows()] == ["work/hard"]
        run = client.start("work/hard", f"{app_url}/work", key="c", timeout=0)
        assert (run.status, run.attempts) == ("pending", 0)
        assert client.resume_workflow("work/hard").paused is None
        assert client.wait(run.id).response == "done"
        with pytest.raises(InvalidRequestError, match="until: use a datetime with a time zone"):
            client.pause_workflow("work/hard", until=until.replace(tzinfo=None))


def test_so_it_is_in_async_code(app_url: str) -> None:
    async def main() -> None:
        async with AsyncClient() as client:
            assert (await client.pause_workflow("async", note="wait")).paused is not None
            assert (await client.workflow_state("async")).paused is not None
            assert [each.workflow_name for each in await client.paused_workflows()] == ["async"]
            assert (await client.resume_workflow("async")).paused is None

    asyncio.run(main())


def test_what_becomes_of_a_step_without_a_retry_left() -> None:
    assert retry_document(Retry(count=1, then="pause"))["then"] == "pause"
    # Servers of the first versions do not know the member.
    assert "then" not in retry_document(Retry(count=1))
    with pytest.raises(InvalidRequestError, match="then"):
        retry_document(Retry(then="stop"))  # type: ignore[arg-type]  # a caller without types
    with pytest.raises(InvalidRequestError, match="is for steps that endpoints run"):
        local_retry(Retry(then="pause"))
