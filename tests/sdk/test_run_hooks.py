"""Hooks of a start: in both clients, of a schedule, and from the command line, on a real server."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from answering import Answering
from atomic.cli.main import main
from atomic.sdk import AsyncClient, Client, InvalidRequestError
from atomic.sdk.schedules import Every

URL = "http://127.0.0.1:1/told"


@pytest.fixture
def works() -> Iterator[str]:
    """An endpoint that works."""
    endpoint = Answering(lambda _path, _call: (200, "done"))
    yield f"{endpoint.url}/works"
    endpoint.close()


def test_hooks_of_a_start(works: str, atomic_url: str, client_id: str) -> None:
    with Client(atomic_url, client_id=client_id) as client:
        run = client.start("w", works, key="k", hooks={"run.failed": URL})
        assert client.step(run.id).hooks == {"run.failed": URL}
        assert client.step(client.start("w", works, key="none").id).hooks is None


def test_the_same_in_async_code(works: str, atomic_url: str, client_id: str) -> None:
    async def body() -> None:
        async with AsyncClient(atomic_url, client_id=client_id) as client:
            run = await client.start("w", works, key="k", hooks={"run.paused": URL})
            assert (await client.step(run.id)).hooks == {"run.paused": URL}

    asyncio.run(body())


def test_hooks_of_each_run_of_a_schedule(works: str, atomic_url: str, client_id: str) -> None:
    with Client(atomic_url, client_id=client_id) as client:
        times = Every(86_400, hooks={"run.failed": URL})
        assert client.schedules.put("daily", times, "w", works).start["hooks"] == {"run.failed": URL}


def test_hooks_from_the_command_line(works: str, atomic_url: str, client_id: str) -> None:
    def start(*hooks: str) -> Result:
        options = ["--key", "k", "--url", atomic_url, "--client", client_id, "--json"]
        given = [part for hook in hooks for part in ("--hook", hook)]
        return CliRunner().invoke(main, ["start", "w", works, *options, *given])

    run = json.loads(start(f"run.failed={URL}?a=b", f"run.paused={URL}").output)
    with Client(atomic_url, client_id=client_id) as client:
        assert client.step(run["id"]).hooks == {"run.failed": f"{URL}?a=b", "run.paused": URL}
    assert "use EVENT=URL" in start(URL.partition("=")[0]).output
    assert "give each event once" in start(f"run.failed={URL}", f"run.failed={URL}").output
    assert "hooks.run.ended" in start(f"run.ended={URL}").output


@pytest.mark.parametrize("hooks", [["run.failed"], "run.failed", {"run.failed": None}, None])
def test_hooks_that_are_no_texts_are_refused_at_the_call(
    works: str, atomic_url: str, client_id: str, hooks: Any
) -> None:
    with (
        Client(atomic_url, client_id=client_id) as client,
        pytest.raises(InvalidRequestError, match="hooks: use events with URLs"),
    ):
        client.start("w", works, key="k", hooks=hooks)
