"""What clients of a server in development have set outlives it, and a reset deletes it."""

from functools import partial
from pathlib import Path

import pytest

from atomic.adapters.settings_file import keep_settings_file, load_settings_file
from atomic.application.ports import StoreUnavailable
from atomic.domain.clients.client import OpenRegistry
from atomic.domain.hooks import Hook
from atomic.domain.retentions import NO_RETENTIONS, WorkflowRetention
from atomic.domain.workflow_pauses import WorkflowPause
from atomic.testing import run

PAGER = Hook(name="pager", url="https://app.example/p", on=("run.failed",), workflow_name="billing")


def registry(path: Path) -> OpenRegistry:
    return OpenRegistry(
        attempt_key=b"a", own=load_settings_file(path), keep=partial(keep_settings_file, path)
    )


def test_the_next_server_has_the_pauses_of_workflows(tmp_path: Path) -> None:
    path = tmp_path / "client-settings.json"
    pause = WorkflowPause(workflow_name="import", since_ms=1, until_ms=2, note="why")
    first = registry(path)
    first.put_hook("me", PAGER)
    first.pause_workflow("me", pause)
    second = registry(path)
    assert (second.workflow_pauses("me"), second.hooks("me")) == ((pause,), (PAGER,))
    second.resume_workflow("me", "import")
    assert registry(path).workflow_pauses("me") == ()


def test_a_client_that_was_asked_for_has_what_is_set_afterwards(tmp_path: Path) -> None:
    async def body() -> None:
        clients = registry(tmp_path / "client-settings.json")
        before, other = await clients.get("me"), await clients.get("other")
        assert before is await clients.get("me")
        clients.put_hook("me", PAGER)
        after = await clients.get("me")
        assert before is not None
        assert after is not None
        assert (before.hooks, after.hooks, await clients.get("other")) == ((), (PAGER,), other)
        clients.forget_settings()
        assert await clients.get("me") == before

    run(body())


def test_the_next_server_has_the_retentions_of_workflows(tmp_path: Path) -> None:
    path = tmp_path / "client-settings.json"
    first = registry(path)
    first.set_retention("me", WorkflowRetention(workflow_name="beat", days=1))
    second = registry(path)
    assert second.retentions("me") == first.retentions("me")
    assert second.retentions("me").days_of("beat") == 1
    second.clear_retention("me", "beat")
    assert registry(path).retentions("me").workflows == ()
    # An earlier version did not write them.
    path.write_text('{"me": {"hooks": [], "workflow_pauses": []}}')
    assert registry(path).retentions("me") == NO_RETENTIONS


def test_the_next_server_has_the_hooks(tmp_path: Path) -> None:
    path = tmp_path / "client-settings.json"
    first = registry(path)
    assert first.put_hook("me", PAGER)
    assert not first.put_hook("me", PAGER)
    assert first.put_hook("other", Hook(name="mail", url="https://app.example/m", on=("run.paused",)))

    async def body() -> None:
        second = registry(path)
        client = await second.get("me")
        assert client is not None
        assert client.hooks == second.hooks("me") == (PAGER,)
        second.delete_hook("me", "pager")
        assert (await second.get("me")) != client
        third = registry(path)
        assert (third.hooks("me"), len(third.hooks("other"))) == ((), 1)
        third.forget_settings()

    run(body())
    assert registry(path).hooks("other") == ()
    assert [each.name for each in tmp_path.iterdir()] == ["client-settings.json"]


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "client-settings.json"
    for text in ("{", "[]", '{"me":[{"name":"pager"}]}', '{"me":1}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="is damaged"):
            load_settings_file(path)


def test_what_cannot_be_written_is_not_in_force(tmp_path: Path) -> None:
    gone = registry(tmp_path / "missing" / "client-settings.json")
    with pytest.raises(StoreUnavailable):
        gone.put_hook("me", PAGER)
    assert gone.hooks("me") == ()
