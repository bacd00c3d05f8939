"""Causes of failed runs, and their dismissal, in the clients and on the command line."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from click.testing import CliRunner, Result

from answering import Answering
from atomic import (
    AsyncClient,
    Client,
    InvalidRequestError,
    NotFoundError,
    RefusedError,
    Retry,
    StepFailedError,
)
from atomic.cli.main import main as main_command

ONCE = Retry(count=0)


@pytest.fixture
def url(atomic_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    monkeypatch.setenv("ATOMIC_CLIENT_ID", request.node.name.replace("_", "-")[:40])
    endpoint = Answering(
        lambda path, _call: (int(path.rpartition("/")[2]), b'{"detail": "order 17 is gone"}')
    )
    yield endpoint.url
    endpoint.close()


def ended(client: Client, url: str, status: int, *keys: str) -> list[str]:
    """Runs that have ended: their ids."""
    for key in keys:
        with suppress(StepFailedError):
            client.start("w", f"{url}/{status}", key=key, retry=ONCE)
    return [run.run_id for run in client.runs() if run.idempotency_key in keys]


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(main_command, arguments)


def test_both_clients_count_find_and_dismiss(url: str) -> None:
    with Client() as client:
        gone = ended(client, url, 410, "a", "b")
        ended(client, url, 503, "c")
        [fine] = ended(client, url, 200, "d")
        found = client.causes()
        assert [(cause.count, cause.text) for cause in found.causes] == [
            (2, "the endpoint answered 410: order # is gone"),
            (1, "the endpoint answered 503: order # is gone"),
        ]
        assert (found.more, found.is_all, found.causes[0].response_status) == (False, True, 410)
        assert client.causes(limit=1).more
        assert client.causes(workflow_name="x").causes == client.causes(state="handled").causes == []
        cause = found.causes[0].id
        assert {run.run_id for run in client.runs(cause=cause)} == set(gone)
        assert [letter.idempotency_key for letter in client.dead_letters(cause=found.causes[1].id)] == ["c"]

        dismissed = client.dismiss(gone[0], note="known")
        assert dismissed.dismissed is not None
        assert (dismissed.dismissed.note, dismissed.cause and dismissed.cause.id) == ("known", cause)
        assert [run.run_id for run in client.runs(dismissed=True)] == [gone[0]]
        assert [run.run_id for run in client.runs(dismissed=False, cause=cause)] == [gone[1]]
        assert [step.run_id for step in client.export(dismissed=True)] == [gone[0]]
        with pytest.raises(RefusedError) as refused:
            client.dismiss(fine)
        assert refused.value.code == "not-failed"
        with pytest.raises(InvalidRequestError, match="cause"):
            client.runs(cause="no funds")
        with pytest.raises(NotFoundError):
            client.undismiss("run_" + "0" * 32)

    async def main() -> None:
        async with AsyncClient() as client:
            assert [each.count for each in (await client.causes(state="dismissed")).causes] == [1]
            assert (await client.undismiss(gone[0])).dismissed is None
            assert [each.count for each in (await client.causes()).causes] == [2, 1]
            assert (await client.dismiss(gone[1])).dismissed is not None

    asyncio.run(main())


def test_the_command_line(url: str) -> None:
    with Client() as client:
        one, _ = ended(client, url, 410, "a", "b")
    listed = cli("causes").output
    cause = listed.split()[0]
    assert listed.startswith(f"{cause}  2  w: the endpoint answered 410: order # is gone  last created 2")
    assert json.loads(cli("causes", "--json").output)["causes"][0]["id"] == cause
    assert cli("causes", "--workflow", "other").output == "nothing\n"
    assert cli("dismiss", one, "--note", "known").output == f"{one} is failed, and dismissed\n"
    assert one in cli("runs", "list", "--dismissed").output
    assert one not in cli("runs", "list", "--needs-action", "--cause", cause).output
    assert cli("causes", "--state", "dismissed").output.startswith(f"{cause}  1  ")
    assert cli("dead-letters", "--cause", cause).output.count("\n") == 2
    assert cli("dismiss", f"{one}-root", "--undo").output == f"{one} is failed, and needs action\n"
    wrong = cli("dismiss", one, "--undo", "--note", "why")
    assert (wrong.exit_code, "leave it out with --undo" in wrong.output) == (2, True)
