"""The example for AWS Lambda, behind a minimal gateway, with DynamoDB by moto."""

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from atomic import Client
from docs.terminal import Terminal, terminal
from scenarios.embedded_runtime import AtomicServer
from sdk.tables import tables
from sdk.test_aws_lambda import Gateway
from sdk.threads import wsgi_server

EXAMPLES = Path(__file__).parents[2] / "examples"
PATHS = ("/users/create", "/users/insert", "/users/welcome", "/users/track")
TABLES = {"USERS_TABLE": "users", "KEYS_TABLE": "keys"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AtomicServer]:
    server = AtomicServer(tmp_path / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "services.py").write_text((EXAMPLES / "services.py").read_text())
    with terminal(tmp_path) as opened:
        opened.type("python services.py")
        yield opened


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, table in TABLES.items():
        monkeypatch.setenv(name, table)
    with tables(*TABLES.values()) as client:
        yield client


def load() -> ModuleType:
    """Import the example as Lambda does."""
    spec = importlib.util.spec_from_file_location("users_lambda", EXAMPLES / "users_lambda.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_user_creation(
    server: AtomicServer, services: Terminal, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOMIC_URL", server.url)
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_PORT", services.moved("8025"))
    monkeypatch.setenv("COLLECTOR_URL", services.moved("http://127.0.0.1:8026"))
    example = load()
    with ExitStack() as stack:
        url = stack.enter_context(wsgi_server(Gateway(dict.fromkeys(PATHS, example.handler))))
        # The test gateway has no TLS, which the function cannot detect.
        monkeypatch.setenv("ATOMIC_BASE_URL", url)
        client = stack.enter_context(Client(server.url))
        answers = [
            client.start("createUser", f"{url}/users/create", {"name": "ada"}, key="ada-1").response
            for _ in range(2)
        ]
        [run] = client.runs()
        track = client.get(run.run_id).steps[-1]
    assert answers[0] == answers[1]
    [user] = dynamodb.scan(TableName="users")["Items"]
    assert answers[0]["user"] == {"name": "ada", "id": user["id"]["S"]}
    said = services.logs()
    assert said.count("mail ada@example.com") == 1
    assert f'event {{"event": "userCreated", "user": "{user["id"]["S"]}"}}' in said
    assert track.status == "succeeded"
