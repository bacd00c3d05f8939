"""The fixtures for pytest, in a pytest of its own without other plugins."""

import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest
from starlette.applications import Starlette

from atomic.sdk import AsyncClient, AsyncContext, Client
from atomic.sdk.starlette import Endpoints

app = Starlette()
endpoints = Endpoints(app)

@endpoints.workflow
async def trial(ctx: AsyncContext) -> str:
    await ctx.sleep(14 * 86_400)
    return await ctx.step("mail")

@pytest.fixture
def served(atomic_local):
    atomic_local.serve(app)
    atomic_local.answer("mail", "sent")
    return atomic_local

async def test_of_async_def(atomic_local, served):
    run = await served.run("trial")
    assert run.result == "sent"
    assert (await AsyncClient().get(run.id)).run.status == "succeeded"

def test_of_def(served):
    run = served.blocking(served.run("trial"))
    assert run.result == "sent"
    assert Client().get(run.id).run.status == "succeeded"

@pytest.mark.parametrize("atomic_local", [{"always_replay": True}], indirect=True)
async def test_with_options(atomic_local, served):
    run = await served.run("trial")
    assert run.replays[-1] == ("timer sleep", "step mail")

async def test_that_fails(served):
    run = await served.start("trial")
    await served.advance(days=13)
    assert (await served.look(run)).status == "succeeded"

def test_of_a_server(atomic_server):
    client = Client()
    started = client.start("none", "http://127.0.0.1:9/none", key="1", timeout=0, retry=1)
    assert atomic_server.until(started.run_id)["run"]["status"] == "failed"
    before = atomic_server.time()["now"]
    assert atomic_server.advance(hours=6)["now"] > before
    atomic_server.crash()
    assert client.get(started.run_id).run.status == "failed"
    assert atomic_server.faults("hostile", 7)["seed"] == 7
    atomic_server.reset()
    assert client.runs() == []
    with pytest.raises(RuntimeError, match="no such run"):
        atomic_server.until(started.run_id)
"""


def test_the_fixtures_serve_plain_and_async_tests(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["atomic.testing.pytest_plugin"]\n')
    (tmp_path / "test_trial.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "1 failed, 4 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "FAILED test_trial.py::test_that_fails" in ended.stdout
