"""No log line contains text of a client's request or of an endpoint's answer."""

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from pythonjsonlogger.json import JsonFormatter

from atomic.adapters.memory.store import MemoryStepStore
from atomic.adapters.system import LoggedTelemetry
from atomic.application.ports import StoreUnavailable
from atomic.entrypoints.embedded.logs import NoFlood, line_format
from atomic.entrypoints.log_policy import FIELDS, AllowedLines, OnlyAllowed
from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from scenarios.memory_runtime import MemoryClients

REPO = Path(__file__).parents[3]
CANARY = "canary7f3a"


@pytest.fixture(params=["embedded", "aws"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """The log lines of every level, in the format of a runtime."""
    written = io.StringIO()
    handler = AllowedLines(written)
    formatters: dict[str, logging.Formatter] = {
        "embedded": JsonFormatter("{levelname}{name}{message}", style="{"),
        "aws": LambdaPowertoolsFormatter(service="atomic"),
    }
    handler.setFormatter(formatters[request.param])
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.setLevel(before)
    root.removeHandler(handler)


class BrokenStore(MemoryStepStore):
    """A store whose error messages quote the row."""

    async def count(self, client_id: str, created_from_ms: int) -> Any:
        raise ValueError(f"{CANARY} stands in this row")

    async def list(self, query: Any) -> Any:
        raise StoreUnavailable(f"{CANARY} is locked", kind="BusyError")


def test_a_canary_in_every_field_is_never_logged(lines: io.StringIO) -> None:
    async def endpoint(call: EndpointCall) -> EndpointReply:
        if "boom" in call.url:
            raise RuntimeError(CANARY)
        return EndpointReply(
            status=500, json={CANARY: CANARY, "error": CANARY}, headers={f"x-{CANARY}": CANARY}
        )

    async def main() -> None:
        async with LocalAtomic(store=BrokenStore()) as atomic:
            logged = LoggedTelemetry(atomic.engine.telemetry)
            object.__setattr__(atomic.engine, "telemetry", logged)
            for path in ("fails", "boom"):
                url = atomic.endpoint(f"/{path}-{CANARY}", endpoint)
                document = {
                    "workflowName": CANARY, "stepName": CANARY, "stepInvokeUrl": url,
                    "payload": {CANARY: [CANARY]},
                    "idempotencyKey": f"{CANARY}-{path}", "retry": {"count": 1, "backOff": 1},
                }  # fmt: skip
                headers = {"Authorization": f"Bearer {CANARY}", "X-Note": CANARY, "traceparent": CANARY}
                body = json.dumps(document).encode()
                reply = await atomic.request("POST", "/me", body=body, headers=headers)
                assert reply.status == 424
            await atomic.request("POST", f"/me/{CANARY}", body=CANARY.encode())
            assert (await atomic.get(f"/me/runs?workflowName={CANARY}")).status == 503
            assert (await atomic.get("/me/stats")).status == 500

    run(main())
    text = lines.getvalue()
    assert "step failed" in text
    assert "unexpected error" in text
    assert "the store is not available" in text
    assert '"storeError":"BusyError"' in text.replace(" ", "")
    assert CANARY not in text


def test_new_keys_and_secrets_are_never_logged_but_their_creation_is(lines: io.StringIO) -> None:
    clients = MemoryClients()
    key, _ = clients.admin.create("acme", base_urls=["https://app.test/"], scopes=["read"])
    admin_key, _ = clients.admin.add_key("acme", scopes=["admin"])
    shown = [key, admin_key]

    async def main() -> None:
        async with LocalAtomic(clients=clients, manage=clients.manage) as atomic:

            async def ask(method: str, path: str, body: Any = None) -> Any:
                data = b"" if body is None else json.dumps(body).encode()
                headers = {"Authorization": f"Bearer {admin_key}"}
                return await atomic.request(method, f"/acme{path}", body=data, headers=headers)

            key_id = key.split("_")[1]
            shown.append((await ask("POST", f"/keys/{key_id}/rotate")).json["apiKey"])
            shown.append((await ask("POST", "/secrets")).json["signingSecret"])
            assert (await ask("DELETE", f"/keys/{key_id}")).status == 200
            refused = [
                await ask("POST", f"/keys/{CANARY}/rotate", {"scopes": ["read"]}),
                await ask("POST", f"/keys/{key_id}/rotate", {CANARY: CANARY}),
                await ask("POST", "/secrets", {"overlap": CANARY}),
                await ask("DELETE", f"/keys/{CANARY}"),
            ]
            assert [reply.status for reply in refused] == [404, 400, 400, 404]

    run(main())
    logged = lines.getvalue()
    for words in ("key rotated", "key revoked", "signing secret rotated"):
        assert words in logged
    assert '"clientId": "acme"' in logged or '"clientId":"acme"' in logged
    assert CANARY not in logged
    for secret in shown:
        assert secret.rpartition("_")[2] not in logged


def test_useful_fields_are_still_logged(lines: io.StringIO) -> None:
    log = logging.getLogger("atomic.test")
    try:
        raise KeyError(CANARY)
    except KeyError:
        log.exception("went wrong", extra={"runId": "run_1", "payload": CANARY})
    logging.getLogger("asyncio").error(f"Task failed\nfuture: {CANARY}")
    logging.getLogger("uvicorn.error").warning("bad %s", CANARY, extra={"url": CANARY, "status": CANARY})
    ours, loop, server = map(json.loads, lines.getvalue().splitlines())
    assert (ours["runId"], ours["exception"]) == ("run_1", "KeyError")
    assert "test_log_policy.py" in ours["frames"][0]
    assert (loop["message"], server["message"]) == ("Task failed", "bad …")
    assert CANARY not in lines.getvalue()


def test_other_handlers_of_the_process_get_records_as_they_were(
    lines: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    # A logger's handlers run before those of the root logger, where pytest captures records.
    first = AllowedLines(io.StringIO())
    log = logging.getLogger("atomic.test")
    log.addHandler(first)
    try:
        log.error("went wrong", exc_info=KeyError(CANARY), extra={"payload": CANARY})
    finally:
        log.removeHandler(first)
    [record] = caplog.records
    assert record.exc_info
    assert vars(record)["payload"] == CANARY
    assert CANARY not in lines.getvalue()


@pytest.mark.parametrize(
    ("template", "filled", "said"),
    [
        ("Started server process [%d]", (7,), "Started server process […]"),
        ('%s - "%s %s" %03d, %(here)s %.2f%%', (1, 2, 3, 4), '… - "… …" …, … …%'),
        ("100% sure", (), "100% sure"),
    ],
)
def test_messages_of_libraries_show_where_values_are_left_out(
    template: str, filled: tuple[int, ...], said: str
) -> None:
    record = logging.LogRecord("uvicorn.error", logging.INFO, "f.py", 1, template, filled, None)
    assert OnlyAllowed().filter(record)
    assert record.getMessage() == said


def a_line(line: int, **extra: str) -> logging.LogRecord:
    record = logging.LogRecord("uvicorn.error", logging.WARNING, "f.py", line, f"{line} failed", (), None)
    vars(record).update(extra)
    return record


def test_a_flood_of_lines_is_bounded_and_counted() -> None:
    now_s = [0.0]
    bound = NoFlood(lambda: now_s[0])
    assert sum(bound.filter(a_line(1)) for _ in range(1000)) == 10
    assert bound.filter(a_line(2)), "another place has lines of its own"
    now_s[0] = 10.0
    first, second = a_line(1), a_line(1)
    assert bound.filter(first)
    assert bound.filter(second)
    assert (vars(first)["leftOut"], "leftOut" in vars(second)) == (990, False)


@pytest.mark.parametrize("name", ["stepId", "clientId", "keyId"])
def test_the_history_of_a_step_or_client_has_no_gaps(name: str) -> None:
    bound = NoFlood(lambda: 0.0)
    assert all(bound.filter(a_line(1, **{name: "x"})) for _ in range(100))


UNCAUGHT = f"""
import threading
from atomic.entrypoints.embedded.logs import configure_logs

def fail(*_):
    raise ValueError("{CANARY}")

class Ignored:
    __del__ = fail

configure_logs("info")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Ignored()
fail()
"""


def test_an_uncaught_error_is_logged_without_its_text() -> None:
    ended = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, check=False)
    said = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (ended.returncode, ended.stdout) == (1, "")
    assert [(line["message"], line["exception"]) for line in said] == [
        ("a thread crashed", "ValueError"),
        ("an error was ignored", "ValueError"),
        ("uncaught error", "ValueError"),
    ]
    assert CANARY not in ended.stderr


@pytest.mark.parametrize("given", [{}, {"clientId": "acme corp", "recovered": 3, "stepId": None}])
def test_a_line_for_people_has_the_same_fields(given: dict[str, Any]) -> None:
    lines = line_format(is_text=True)
    record = logging.makeLogRecord(
        {"levelname": "INFO", "name": "atomic.server", "msg": "listening", **given}
    )
    text = lines.format(record)
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO     listening.*", text)
    assert text.endswith("listening" + (' clientId="acme corp" recovered=3' if given else ""))


def test_a_line_for_people_stays_one_line() -> None:
    lines = line_format(is_text=True)
    record = logging.makeLogRecord({"levelname": "INFO", "name": "atomic", "msg": "a\nb", "url": "c\nd"})
    assert lines.format(record).endswith(r'INFO     "a\nb" url="c\nd"')
    record.frames = ["file.py:1 f", "file.py:2 g"]
    assert lines.format(record).endswith("\n    file.py:1 f\n    file.py:2 g")


def test_the_form_of_lines_is_chosen() -> None:
    for form, is_text in (("auto", False), ("json", False), ("text", True)):
        program = f"""
import logging
from atomic.entrypoints.embedded.logs import configure_logs
configure_logs("info", {form!r})
logging.getLogger("atomic.server").info("listening")
logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
"""
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        [line] = said.stderr.splitlines()
        assert line.startswith("{") is not is_text
        assert "listening" in line


def test_a_terminal_gets_text() -> None:
    seen, terminal = pty.openpty()
    program = (
        "import logging; from atomic.entrypoints.embedded.logs import configure_logs; "
        "configure_logs('info'); logging.getLogger('atomic.server').info('listening')"
    )
    subprocess.run([sys.executable, "-c", program], stderr=terminal, check=True)
    os.close(terminal)
    assert os.read(seen, 1000).decode().strip().endswith("INFO     listening")
    os.close(seen)


def test_the_fields_are_those_of_the_page() -> None:
    page = (REPO / "docs/operations.md").read_text().partition("## What a log line may say")[2]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == FIELDS
