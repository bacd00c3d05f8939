"""The server as a process: start, refusal to start, draining, shutdown."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic.testing import EndpointCall, EndpointReply
from scenarios.embedded_runtime import AtomicServer, create_client, free_port, runtime_on
from scenarios.runtime import Runtime, always, answer_ok


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AtomicServer]:
    server = AtomicServer(tmp_path / "data")
    server.start()
    yield server
    if server.process.poll() is None:
        server.kill()


def document(url: str, key: str = "k", **more: Any) -> dict[str, Any]:
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, **more}


def atomic(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "atomic.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_a_second_server_on_the_same_directory_is_refused(server: AtomicServer) -> None:
    second = atomic("serve", "--dev", "--port", "0", "--data-dir", str(server.data_dir))
    assert second.returncode == 1
    assert str(server.process.pid) in second.stderr
    assert "--data-dir" in second.stderr


def test_dev_listens_on_loopback_only(tmp_path: Path) -> None:
    refused = atomic("serve", "--dev", "--host", "0.0.0.0", "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert "loopback" in refused.stderr


def test_a_taken_port_is_refused_with_the_cure(server: AtomicServer, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    refused = atomic("serve", "--dev", "--port", str(server.port), "--data-dir", other)
    assert refused.returncode == 1
    assert "--port" in refused.stderr


def test_sigterm_lets_a_running_attempt_end_and_answers_its_caller(server: AtomicServer) -> None:
    async def main() -> None:
        async with runtime_on(server) as runtime:
            url = runtime.endpoint("/slow", slowly(1.0))
            caller = asyncio.create_task(runtime.start(document(url)))
            await asyncio.sleep(0.3)
            server.process.terminate()
            await asyncio.sleep(0.2)
            refused = await runtime.start(document(url, "new"))
            reply = await caller
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert reply.status == 200, reply.body
            assert await asyncio.to_thread(server.process.wait, 20) == 0
            server.start()
            again = await runtime.start(document(url))
            assert (again.status, again.body) == (200, reply.body)
            assert len(runtime.seen) == 1

    asyncio.run(main())


def test_sigterm_takes_the_steps_of_a_handler_that_still_runs(server: AtomicServer) -> None:
    async def main() -> None:
        async with runtime_on(server) as runtime:
            step = runtime.endpoint("/step", answer_ok)

            async def handler(call: EndpointCall) -> EndpointReply:
                await asyncio.sleep(0.5)
                reply = await runtime.start(document(step))
                return EndpointReply(status=200 if reply.status == 200 else 500)

            caller = asyncio.create_task(runtime.start(document(runtime.endpoint("/flow", handler))))
            await asyncio.sleep(0.2)
            server.process.terminate()
            assert (await caller).status == 200
            assert await asyncio.to_thread(server.process.wait, 20) == 0

    asyncio.run(main())


def test_sigterm_sends_waiting_callers_away_and_loses_nothing(server: AtomicServer) -> None:
    async def main() -> None:
        async with runtime_on(server) as runtime:
            url = runtime.endpoint("/never", always(503))
            retry = {"count": 5, "backOff": 2000, "strategy": "fixed", "jitter": "none"}
            caller = asyncio.create_task(runtime.start(document(url, retry=retry)))
            await asyncio.sleep(0.3)
            server.process.terminate()
            reply = await caller
            assert reply.status == 504
            assert reply.headers["location"].startswith(f"/{runtime.client}/steps/")
            assert await asyncio.to_thread(server.process.wait, 20) == 0
            server.start()
            runtime.endpoint("/never", answer_ok)
            assert (await runtime.start(document(url, retry=retry))).status == 200

    asyncio.run(main())


def test_a_second_sigterm_ends_at_once_and_in_order(server: AtomicServer) -> None:
    async def main() -> None:
        async with runtime_on(server) as runtime:
            url = runtime.endpoint("/slow", slowly(20))
            await runtime.start(document(url), Prefer="respond-async")
            began_s = time.monotonic()
            for _ in range(2):
                server.process.terminate()
                await asyncio.sleep(0.3)
            assert await asyncio.to_thread(server.process.wait, 20) == 0
            assert time.monotonic() - began_s < 10

    asyncio.run(main())
    # Closing copies SQLite's log into the database.
    assert (server.data_dir / "atomic.db-wal").stat().st_size == 0


def test_an_attempt_that_outlasts_the_end_costs_no_retry(server: AtomicServer) -> None:
    """It is the server that has cut it off, so it is repeated also where the policy has no retry."""

    async def main() -> None:
        async with runtime_on(server) as runtime:
            url, keys = runtime.endpoint("/slow", slowly(20)), [f"k{number}" for number in range(20)]
            documents = [document(url, key, retry={"count": 0}) for key in keys]
            for each in documents:
                await runtime.start(each, Prefer="respond-async")
            for _ in range(2):
                server.process.terminate()
                await asyncio.sleep(0.3)
            assert await asyncio.to_thread(server.process.wait, 20) == 0
            runtime.endpoint("/slow", answer_ok)
            server.start()
            replies = [await runtime.start(each) for each in documents]
            assert [reply.status for reply in replies] == [200] * len(keys)

    asyncio.run(main())


def test_malformed_requests_do_not_fill_the_disk_with_log_lines(server: AtomicServer) -> None:
    async def rubbish() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"rubbish\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    async def main() -> None:
        for _ in range(30):
            answers = await asyncio.gather(*[rubbish() for _ in range(10)])
            assert all(answer.startswith(b"HTTP/1.1 400 ") for answer in answers)

    asyncio.run(main())
    lines = [line for line in server.log().splitlines() if "Invalid HTTP request" in line]
    # Ten lines per ten seconds, with a margin for a slow machine.
    assert 0 < len(lines) <= 40
    assert "%d" not in server.log()


def test_a_thousand_waiting_callers_cost_memory_not_threads(server: AtomicServer) -> None:
    async def main() -> None:
        async with runtime_on(server) as runtime:
            release = asyncio.Event()
            await runtime.start(document(runtime.endpoint("/ok", answer_ok)))
            before = proc_status(server.process.pid)

            async def handler(call: EndpointCall) -> EndpointReply:
                await release.wait()
                return EndpointReply(json="done")

            url = runtime.endpoint("/hang", handler)
            callers = [
                asyncio.create_task(runtime.start(document(url, f"k{number}"))) for number in range(1000)
            ]
            await running_steps(runtime, 1000)
            during = proc_status(server.process.pid)
            release.set()
            replies = await asyncio.gather(*callers)
            assert {reply.status for reply in replies} == {200}
            assert during["Threads"] <= before["Threads"] + 1  # the thread that reads lists
            assert during["VmRSS"] - before["VmRSS"] < 80 * 1024

    asyncio.run(main())


def test_metrics_count_what_happened(server: AtomicServer) -> None:
    async def main() -> None:
        async with runtime_on(server) as runtime:
            await runtime.start(document(runtime.endpoint("/ok", answer_ok)))
            url = runtime.endpoint("/bad", always(410))
            await runtime.start(document(url, "dead"))
            text = (await runtime.request("GET", "/metrics")).body.decode()
            values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
            assert values["atomic_starts_total"] == "2.0"
            assert values['atomic_attempts_total{outcome="succeeded"}'] == "1.0"
            assert values['atomic_attempts_total{outcome="permanent"}'] == "1.0"
            assert values["atomic_dead_letters_total"] == "1.0"
            assert values["atomic_live_steps"] == "0.0"
            assert values["atomic_run_seconds_count"] == "2.0"

    asyncio.run(main())


def test_logs_are_json_with_ids_and_without_payloads(server: AtomicServer) -> None:
    async def main() -> str:
        async with runtime_on(server) as runtime:
            url = runtime.endpoint("/bad", always(400, json={"secret": "canary-response"}))
            retry = {"count": 1, "backOff": 1}
            payload = {"secret": "canary-payload"}
            reply = await runtime.start(document(url, payload=payload, retry=retry))
            step_id: str = reply.json["id"]
            return step_id

    step_id = asyncio.run(main())
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert [line["message"] for line in lines if line.get("stepId") == step_id] == [
        "attempt ended without success",
        "step failed",
        "attempt ended without success",
    ]
    assert "canary" not in server.log()


def test_keys_are_shown_once_and_kept_as_hashes(tmp_path: Path) -> None:
    key = create_client(tmp_path / "data", "acme", "--base-url", "http://127.0.0.1:1/")
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    assert key.encode() not in stored
    twice = atomic(
        "clients", "create", "acme", "--data-dir", str(tmp_path / "data"), "--base-url", "https://x"
    )
    assert twice.returncode == 1
    assert "acme" in twice.stderr


def test_a_client_made_while_the_server_runs_is_known_soon(tmp_path: Path) -> None:
    data_dir, port = tmp_path / "data", free_port()
    create_client(data_dir, "first", "--base-url", "http://127.0.0.1:1/")
    server = AtomicServer(data_dir, dev=False)
    server.start()

    async def main() -> None:
        key = await asyncio.to_thread(
            create_client, data_dir, "later", "--base-url", f"http://127.0.0.1:{port}/"
        )
        async with runtime_on(server, client="later", keys={"later": key}, endpoint_port=port) as runtime:
            url = runtime.endpoint("/ok", answer_ok)

            async def accepted() -> bool:
                return (await runtime.start(document(url))).status == 200

            await runtime.until(accepted, within_s=5)
            assert "webhook-signature" in runtime.seen[0].call.headers

    asyncio.run(main())
    assert server.stop() == 0


def slowly(seconds: float) -> Any:
    async def handler(call: EndpointCall) -> EndpointReply:
        await asyncio.sleep(seconds)
        return EndpointReply(json="done")

    return handler


async def running_steps(runtime: Runtime, number: int) -> None:
    async def all_running() -> bool:
        live = (await runtime.get("/stats")).json["live"]
        return bool(live.get("running") == number)

    await runtime.until(all_running, within_s=30)


def proc_status(pid: int) -> dict[str, int]:
    pairs = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    words = {name: value.split() for name, value in pairs}
    return {name: int(words[name][0]) for name in ("Threads", "VmRSS")}
