"""Every example in TypeScript is typed, and is run by the commands in its own header."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from atomic import RunDocument
from docs.terminal import Terminal, commands_of, terminal
from examples.commands import EXAMPLES, client_of, wait_until
from examples.outside import served
from examples.test_agent import ModelAndShop
from typescript.package import NEEDS_TOOLS, PACKAGE, TOOLS, run, use_typescript

pytestmark = NEEDS_TOOLS

SOURCES: Final = EXAMPLES / "typescript"
# What the applications install beside the package.
LINKED: Final = ("express", "@electric-sql", "@types", "undici-types", "next", "react")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the examples' commands use curl")


@pytest.fixture
def typed(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal in a folder that holds only the examples, in which everything is installed."""
    use_typescript(tmp_path, monkeypatch)
    with terminal(prepared(installed, tmp_path / "page")) as opened:
        yield opened


def prepared(installed: Path, folder: Path) -> Path:
    """A folder with the examples and what they import."""
    shutil.copytree(installed, folder)
    for name in LINKED:
        (folder / "node_modules" / name).symlink_to(TOOLS / name)
    for source in (*SOURCES.glob("*.ts"), *SOURCES.glob("express-app/*.ts")):
        shutil.copy(source, folder)
    return folder


def commands_in(path: str) -> list[str]:
    """The commands in an example's header, without the installation."""
    header = (SOURCES / path).read_text().partition("*/")[0]
    commands = commands_of("\n".join(re.findall(r"^ \*     (.*)$", header, re.MULTILINE)))
    return [command for command in commands if not command.startswith("npm ")]


def attempts(document: RunDocument) -> dict[str, list[int | None]]:
    """The outcomes of each step's attempts, by the end of its URL."""
    steps = [step for step in (document.root, *document.steps) if step.step_invoke_url]
    return {
        str(step.step_invoke_url).rpartition("/")[2]: [attempt.status for attempt in step.attempt_log]
        for step in steps
    }


def test_the_examples_are_typed(installed: Path, tmp_path: Path) -> None:
    folder = prepared(installed, tmp_path / "page")
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    options += ["--skipLibCheck"]  # of the packages that the examples use
    files = sorted(file.name for file in folder.glob("*.ts"))
    assert len(files) >= 3
    run(str(TOOLS / ".bin" / "tsc"), *options, *files, folder=folder)


def test_the_plain_sample_imports_nothing_but_the_server() -> None:
    source = (SOURCES / "user-creation-plain.ts").read_text()
    assert re.findall(r'from "(.*)"|import\("(.*)"\)|require\("(.*)"\)', source) == [("node:http", "", "")]


@needs_curl
@pytest.mark.parametrize("name", ["user-creation-plain.ts", "user-creation.ts"])
def test_the_sequence_of_user_creation(typed: Terminal, name: str) -> None:
    """The diagram in which the idea was first drawn: root, createUser, then email and analytics side by
    side; analytics answers 404 three times, and then 200."""
    server, app, curl = commands_in(name)
    typed.type(server)
    typed.type(app)
    answer: Any = json.loads(typed.type(curl))
    assert answer == {"status": 200, "userId": 1}
    answered = [
        (path.rpartition("/")[2], int(status))
        for path, status in re.findall(r"^POST (\S+) (\d+)$", typed.logs(), re.MULTILINE)
    ]
    assert answered[0] == ("createUser", 200)
    assert answered[-2:] == [("index", 200), ("users", 200)]
    between = answered[1:-2]
    assert between.count(("sendEmail", 200)) == 1
    # Email is sent beside the first attempt of analytics, and waits for none of its retries.
    assert between.index(("sendEmail", 200)) < between.index(("sendAnalytics", 404)) + 2
    between.remove(("sendEmail", 200))
    assert between == [("sendAnalytics", 404)] * 3 + [("sendAnalytics", 200)]
    assert json.loads(typed.type(curl)) == answer
    assert len(re.findall(r"^POST /workflows", typed.logs(), re.MULTILINE)) == len(answered) - 1
    with client_of(typed, "demo" if "plain" in name else "dev") as client:
        [summary] = client.runs()
        document = client.get(summary.run_id)
    assert summary.status == "succeeded"
    steps = {str(step.step_invoke_url).rpartition("/")[2]: step for step in document.steps}
    assert list(attempts(document)) == ["index", *steps]
    assert attempts(document) == {
        "index": [200],
        "createUser": [200],
        "sendEmail": [200],
        "sendAnalytics": [404, 404, 404, 200],
    }
    ended = steps["createUser"].finished_at
    assert ended is not None
    assert min(steps[name].created_at for name in ("sendEmail", "sendAnalytics")) >= ended


@needs_curl
def test_express_with_a_database(typed: Terminal) -> None:
    server, app, curl = commands_in("express-app/app.ts")
    typed.type(server)
    typed.type(app)
    first = json.loads(typed.type(curl))
    assert first == {"user": {"id": 1, "name": "ada"}, "mail": "Welcome, ada"}
    # The database is a folder: what is in it outlives the process.
    typed.kill(app)
    typed.type(app)
    assert json.loads(typed.type(curl)) == first
    said = json.loads(typed.type("curl -s http://127.0.0.1:9000/users"))
    assert said == [{"name": "ada", "text": "Welcome, ada"}]
    with client_of(typed) as client:
        [summary] = client.runs()
        assert attempts(client.get(summary.run_id)) == {
            "create": [200],
            "insert": [200],
            "welcome": [500, 200],
        }


def test_an_agent(typed: Terminal) -> None:
    """The application is killed while it waits for a person."""
    outside = ModelAndShop()
    server, app, start, allow, refuse, again = commands_in("agent.ts")
    with served(outside, int(typed.moved("8026"))):
        typed.type(server)
        typed.type(app)
        typed.type(start)
        with client_of(typed) as client:
            [begun] = client.runs()
            wait_until(lambda: len(client.get(begun.run_id).steps) == 6)
        typed.kill(app)
        typed.type(allow)
        typed.type(app)
        typed.type(refuse)
        said = json.loads(typed.type(again))
    answers = dict(part.split(": ", 1) for part in said.split("; "))
    assert json.loads(answers["call_3"]) == "paid back A7"
    assert answers["call_4"] == "error: a person has refused this"
    assert "orders/Z9 answered 404" in answers["call_5"]
    assert answers["call_6"] == "error: this is no number of an order"
    assert answers["call_7"] == "error: there is no tool delete_order"
    assert list(outside.refunds.values()) == ["A7"]
    assert sorted(outside.found) == ["A7", "B2", "Z9", "Z9", "Z9"]
    assert [len(messages) for messages in outside.asked] == [1, 4, 10]


@pytest.mark.parametrize(
    ("bank", "told", "said"),
    [
        ("", ["reserve", "charge", "ship"], "shipped"),
        ("/reject", ["reserve", "charge", "refund", "release"], "undone: "),
    ],
    ids=["paid", "rejected"],
)
def test_an_order(typed: Terminal, bank: str, told: list[str], said: str) -> None:
    """Here three days are two seconds. The application is dead while the bank calls."""
    shutil.copy(EXAMPLES / "services.py", typed.folder)
    source = (SOURCES / "order.ts").read_text()
    assert source.count("{ days: 3 }") == 1
    (typed.folder / "order.ts").write_text(source.replace("{ days: 3 }", '"2s"'))
    server, services, app, start, approve, _, again = commands_in("order.ts")
    for command in (server, services, app, start):
        typed.type(command)
    wait_until(lambda: typed.logs().count('{"event": "ask"') == 2)
    typed.type(approve)
    wait_until(lambda: '{"event": "charge"' in typed.logs())
    typed.kill(app)
    [url] = set(re.findall(r'"callbackUrl": "(http[^"]+)', typed.logs()))
    assert requests.post(url + bank, json={"detail": "No money."}, timeout=10).status_code == 200
    typed.type(app)
    outcome = json.loads(typed.type(again))
    assert outcome.startswith(said)
    assert ("No money." in outcome) == (bank != "")
    events = re.findall(r'^event {"event": "(\w+)"', typed.logs(), re.MULTILINE)
    assert [event for event in events if event != "ask"] == told


@pytest.fixture
def next_app(installed: Path) -> Iterator[Path]:
    """The example on Next.js, beside the packages: Next follows no link that leads out of its folder."""
    (PACKAGE / "dist").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="next-example-", dir=PACKAGE / "dist"))
    shutil.copytree(SOURCES / "next-app", folder, dirs_exist_ok=True)
    shutil.copytree(
        installed / "node_modules" / "atomic-workflows", folder / "node_modules" / "atomic-workflows"
    )
    (folder / "package.json").write_text("{}")
    yield folder
    shutil.rmtree(folder)


def test_next_is_typed(next_app: Path) -> None:
    options = ["--strict", "--noEmit", "--module", "esnext", "--moduleResolution", "bundler"]
    options += ["--target", "es2022", "--jsx", "preserve", "--types", "node"]
    options += ["--skipLibCheck", "--ignoreConfig"]
    # React has no types here, and Next brings none of them.
    files = [str(file) for file in next_app.glob("**/*.ts") if "node_modules" not in file.parts]
    assert len(files) == 3
    run(str(TOOLS / ".bin" / "tsc"), *options, *files, folder=next_app)


@needs_curl
def test_next_with_a_database(next_app: Path) -> None:
    # Next takes no TypeScript 7 yet, and would install another one.
    for file in [*next_app.glob("app/**/*.ts*"), *next_app.glob("lib/*.ts")]:
        options = ("--jsx=automatic", "--log-level=warning", f"--outfile={file.with_suffix('.js')}")
        run(str(TOOLS / ".bin" / "esbuild"), str(file), *options, folder=next_app)
        file.unlink()
    readme = (SOURCES / "next-app" / "README.md").read_text()
    [script] = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    _, server, app, curl = commands_of(script)
    build, _, start = app.partition(" && ")
    config = next_app / "next.config.mjs"
    config.write_text(config.read_text().replace("{", f'{{ turbopack: {{ root: "{PACKAGE}" }},', 1))
    with terminal(next_app) as typed:
        typed.type(server)
        # A server of `next build` may listen meanwhile, so it is ended before the application begins.
        run(*build.split(), folder=next_app)
        typed.type(typed.moved(f"ATOMIC_BASE_URL=http://127.0.0.1:9000 {start}"))
        first = json.loads(typed.type(curl))
        assert first == {"user": {"id": 1, "name": "ada"}, "mail": "Welcome, ada"}
        assert json.loads(typed.type(curl)) == first
        with client_of(typed) as client:
            [summary] = client.runs()
            calls = attempts(client.get(summary.run_id))
    assert calls == {"create": [200], "insert": [200], "welcome": [500, 200]}
