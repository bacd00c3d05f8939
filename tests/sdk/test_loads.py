"""What the clients and the command line say of endpoints, and of what is used of a client's limits."""

import asyncio
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from answering import Answering
from atomic import AsyncClient, Client, StepFailedError
from atomic.cli.loads import _used
from atomic.cli.main import main as main_command
from atomic.protocol.endpoint_documents import UsageDocument


@pytest.fixture(autouse=True)
def here(atomic_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)


@pytest.fixture
def url() -> Iterator[str]:
    endpoint = Answering(lambda path, _call: (410, "0") if path == "/bad" else (200, "1"))
    yield endpoint.url
    endpoint.close()


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(main_command, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_both_clients_tell_how_endpoints_do(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ATOMIC_CLIENT_ID", "loads")
    assert printed("endpoints") == "no attempts in the last 15 minutes\n"
    with Client() as client:
        assert client.endpoints() == []
        client.start("order", f"{url}/good", key=1)
        bad = client.start("order", f"{url}/bad", key=2, timeout=0, retry=0)
        with pytest.raises(StepFailedError):
            client.wait(bad.id)
        [found] = client.endpoints()
        assert (found.origin, found.attempts, found.failed) == (url, 2, 1)
        assert (found.under_way, found.slowed, found.waiting) == (0, False, 0)

        async def main() -> None:
            async with AsyncClient() as other:
                assert [each.origin for each in await other.endpoints()] == [url]
                assert await other.limits() == client.limits()

        asyncio.run(main())
        limits = client.limits()
        assert (limits.live_steps.limit, limits.stored_bytes.used) == (None, None)
    head, row = printed("endpoints").splitlines()
    assert head.split()[:3] == ["origin", "attempts", "failed"]
    assert row.split()[:3] == [url, "2", "1"]
    assert "live steps       no limit\n" in printed("limits")
    assert '"storedBytes"' in printed("limits", "--json")


def test_a_limit_is_printed_with_what_is_used_of_it() -> None:
    shown = [
        _used(UsageDocument(limit=limit, used=used, counted_at=None))
        for limit, used in ((None, None), (2.5, None), (1000, 7))
    ]
    assert shown == ["no limit", "at most 2.5", "7 of 1000"]
