"""The parts of the Python guide that its page does not run: other files, and the TypeScript comparison."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from atomic import Client
from docs.pages import DOCS, blocks_of, file_on
from scenarios.embedded_runtime import AtomicServer
from sdk.tables import tables
from sdk.test_aws_lambda import Gateway
from sdk.threads import asgi_server, wsgi_server

PAGE = DOCS / "python.md"


@pytest.fixture(autouse=True)
def here(server: AtomicServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_URL", server.url)
    monkeypatch.chdir(tmp_path)


def load(file: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load a file of the guide as a module, in which its annotations are resolved."""
    module = ModuleType(file.removesuffix(".py"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(file_on(PAGE, file), file, "exec", dont_inherit=True), module.__dict__)
    return module


def test_accounts_are_opened_once_for_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with asgi_server(load("shop.py", monkeypatch).app) as url, Client() as client:
        opened = [
            client.start("open", f"{url}/users/open_account", {"name": name}, key=key).response
            for name, key in (("ada", "a"), ("ada", "a"), ("bob", "b"))
        ]
    assert opened == [{"account": 1}, {"account": 1}, {"account": 2}]


def test_the_sample_beside_typescript_creates_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = load("shop.py", monkeypatch)
    steps = shop.Endpoints(shop.app, "/workflows/userCreation")
    answers = {"createUser": {"name": "ada", "id": 7}, "sendEmail": "m", "sendAnalytics": 1}
    for name, answer in answers.items():
        steps.step(name=name)(lambda _, answer=answer: answer)
    with asgi_server(shop.app) as url, Client() as client:
        path = f"{url}/workflows/userCreation/index"
        outcome = client.start("createUser", path, {"name": "ada"}, key="u")
        posted = client.get(outcome.run_id).steps
    assert outcome.response == {"user": {"name": "ada", "id": 7}, "email": "m", "analytics": 1}
    assert {step.idempotency_key for step in posted} == {"u"}
    assert {(step.retry.count, step.retry.back_off) for step in posted} == {(10, 1000)}


def test_the_sample_is_no_longer_than_the_one_beside_it() -> None:
    [typescript] = [block.text for block in blocks_of(PAGE) if block.language == "typescript"]
    *_, python = [block.text for block in blocks_of(PAGE) if block.language == "python"]
    assert "user_creation" in python
    assert python.count("\n") <= typescript.count("\n")


def test_the_lambda_functions_run(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("lambda_shop.py", monkeypatch)
    functions = {"/shop/order": module.handler, "/shop/pay": module.handler, "/refund": module.refund}
    with wsgi_server(Gateway(functions)) as url, Client() as client:
        # The test gateway has no TLS, which the function cannot detect.
        monkeypatch.setenv("ATOMIC_BASE_URL", url)
        assert client.start("order", f"{url}/shop/order", 5, key="lambda").response == "paid 5"
        assert client.start("refund", f"{url}/refund", 5, key="lambda").response == "5 back"


def test_django_finds_its_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    urlpatterns = load("django_shop.py", monkeypatch).urlpatterns
    assert [pattern.name for pattern in urlpatterns] == ["shop/order", "shop/pay"]


def test_the_step_on_dynamodb_opens_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    with tables("keys", "accounts") as dynamodb:
        function: Any = load("dynamodb_step.py", monkeypatch).open_account
        with wsgi_server(Gateway({"/open": function})) as url, Client() as client:
            monkeypatch.setenv("ATOMIC_BASE_URL", url)
            opened = [client.start("open", f"{url}/open", "ada", key="d").response for _ in range(2)]
        [account] = dynamodb.scan(TableName="accounts")["Items"]
    assert opened == [{"account": account["id"]["S"]}] * 2
