"""What docs/python.md and docs/cli.md show is run."""

import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from atomic.cli.main import main
from sdk.tables import tables
from sdk.test_aws_lambda import Gateway
from sdk.threads import asgi_server, wsgi_server

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name: str) -> list[tuple[str, str]]:
    """The code of a page: languages and texts."""
    return re.findall(
        r"^```(\w+)(?: norun)?\n(.*?)^```", (DOCS / name).read_text(), re.DOTALL | re.MULTILINE
    )


PYTHON = blocks("python.md")
PAIRS = list(itertools.pairwise([*PYTHON, ("", "")]))


def code_of(file: str) -> str:
    """All parts of a file, in order."""
    return "".join(
        text for language, text in PYTHON if language == "python" and text.startswith(f"# {file}")
    )


def load(file: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A file of the guide as a module; annotations are looked up there."""
    module = ModuleType(file.removesuffix(".py"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code_of(file), file, "exec", dont_inherit=True), module.__dict__)
    return module


@pytest.fixture
def here(atomic_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_URL", atomic_url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with tables("keys", "accounts") as client:
        yield client


def test_the_guide_s_application_gives_what_is_printed(here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = load("shop.py", monkeypatch)
    from atomic import Client

    shop.Client = Client  # type: ignore[attr-defined]  # the guide's reader has it from client.py
    names: dict[str, Any] = {}
    shown = 0
    with asgi_server(shop.app) as url:
        for (language, text), (below, expected) in PAIRS:
            if language == "python" and text.startswith("# client.py"):
                with redirect_stdout(io.StringIO()) as printed:
                    exec(text.replace("http://127.0.0.1:8000", url), names)
                assert below == "text"
                assert printed.getvalue() == expected
                shown += 1
        client = names["client"]
        opened = [
            client.start("open", f"{url}/accounts/open", {"name": name}, key=key).response
            for name, key in (("ada", "a"), ("ada", "a"), ("bob", "b"))
        ]
        assert opened == [{"account": 1}, {"account": 1}, {"account": 2}]
        assert client.start("o", f"{url}/orders/index", ["a", "bc"], key="o").response == 3
    assert shown == 4


def test_the_sample_beside_typescript_creates_a_user(here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from atomic import Client

    shop = load("shop.py", monkeypatch)
    for name, answer in {
        "createUser": {"name": "ada", "id": 7},
        "sendEmail": "m",
        "sendAnalytics": 1,
    }.items():
        shop.app.post(f"/workflows/userCreation/{name}")(shop.step(lambda _, answer=answer: answer))
    with asgi_server(shop.app) as url:
        outcome = Client().start(
            "createUser", f"{url}/workflows/userCreation/index", {"name": "ada"}, key="u"
        )
        steps = Client().get(outcome.run_id).steps
    assert outcome.response == {"user": {"name": "ada", "id": 7}, "email": "m", "analytics": 1}
    assert {step.idempotency_key for step in steps} == {"u"}
    assert {(step.retry.count, step.retry.back_off) for step in steps} == {(10, 1000)}


@pytest.mark.parametrize("file", ["flask_shop.py", "django_shop.py", "lambda_shop.py"])
def test_the_other_frameworks_load(here: None, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    module = load(file, monkeypatch)
    assert {"order", "pay"} <= set(vars(module))


def test_the_flask_application_runs(here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from atomic import Client

    with wsgi_server(load("flask_shop.py", monkeypatch).app) as url:
        assert Client().start("order", f"{url}/order", 5, key="flask").response == "paid 5"


def test_the_step_on_dynamodb_opens_one_account(
    here: None, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atomic import Client

    module = load("dynamodb_step.py", monkeypatch)
    with wsgi_server(Gateway({"/open": module.open_account})) as url:
        monkeypatch.setenv("ATOMIC_BASE_URL", url)
        opened = [Client().start("open", f"{url}/open", "ada", key="d").response for _ in range(2)]
    [account] = dynamodb.scan(TableName="accounts")["Items"]
    assert opened == [{"account": account["id"]["S"]}] * 2


def test_every_python_block_belongs_to_a_file() -> None:
    files = {text.split("\n")[0].split(",")[0] for language, text in PYTHON if language == "python"}
    assert files == {
        f"# {name}.py"
        for name in ("shop", "client", "flask_shop", "django_shop", "lambda_shop", "dynamodb_step")
    }


def test_the_sample_is_no_longer_than_the_one_beside_it() -> None:
    [typescript] = [text for language, text in PYTHON if language == "typescript"]
    python = PYTHON[-1][1]
    assert "user_creation" in python
    assert python.count("\n") <= typescript.count("\n")


def test_the_commands_of_the_cli_page_work(here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = next(text for language, text in blocks("cli.md") if language == "sh")
    with wsgi_server(load("flask_shop.py", monkeypatch).app) as url:
        script = shell.replace("http://127.0.0.1:9000", url).replace("'{\"amount\": 42}'", "42")
        # Not in a thread of this process: pytest's warnings are not for other programs.
        atomic = Path(sys.executable).with_name("atomic")
        environment = {**os.environ, "PATH": f"{atomic.parent}:{os.environ['PATH']}"}
        found = subprocess.run(
            ["bash", "-e", "-c", script], capture_output=True, text=True, env=environment, check=False
        )
    assert found.returncode == 0, found.stdout + found.stderr
    assert '"paid 42"' in found.stdout


def test_every_command_stands_on_the_page() -> None:
    page = (DOCS / "cli.md").read_text()
    assert set(re.findall(r"^\| `atomic ([a-z-]+)", page, re.MULTILINE)) == set(
        main.list_commands(click.Context(main))
    )
