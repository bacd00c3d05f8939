"""Tests of a deployed stack call its `Url`, and the stack calls their endpoints by a public URL."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e_aws.aws_runtime import ENDPOINTS, AwsStack
from scenarios.embedded_runtime import AtomicServer, free_port
from scenarios.runtime import always
from scenarios.starts import document


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AtomicServer]:
    """A server in place of the stack; it has the same routes."""
    server = AtomicServer(tmp_path / "data")
    server.start()
    yield server
    server.stop()


def test_a_deployed_stack_is_named_by_its_outputs(
    server: AtomicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = f"http://localhost:{(port := free_port())}"
    monkeypatch.setenv(ENDPOINTS, f"{port} {public}")
    stack = AwsStack({"Url": server.url, "TableName": "unused"})

    async def main() -> None:
        await stack.warm()
        async with stack.runtime(client="dev") as runtime:
            url = runtime.endpoint("/ok", always(200, json="done"))
            reply = await runtime.start(document(url))
            assert (reply.status, reply.json["response"]) == (200, "done")
            assert url == reply.json["stepInvokeUrl"]
            assert url.startswith(public)
            assert len(runtime.calls(url)) == 1

    asyncio.run(main())
