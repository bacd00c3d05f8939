"""A run is started from the form, or by what the form copies."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboard.stage import Api, Endpoints
from dashboard.test_strangers import SHELL
from dashboard.test_watching import open_at

TYPESCRIPT = Path(__file__).parents[2] / "typescript"
ESBUILD = TYPESCRIPT / "node_modules" / ".bin" / "esbuild"


def fill(page: Page, url: str, key: str, payload: str) -> None:
    page.get_by_label("URL of its endpoint").fill(url)
    page.get_by_label("Key, which says which run this is").fill(key)
    page.get_by_label("Payload, as JSON").fill(payload)


def test_a_run_is_started_like_the_last_one(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/ok", (200, {"fine": True}))
    api.start(url, "first-1", workflow="order", payload={"cents": 123456789012345678, "b": [1]})
    open_at(page, api, "runs")
    page.get_by_role("link", name="Start a run").click()
    expect(page.get_by_role("button", name="Start run")).to_be_disabled()
    page.get_by_label("Workflow").fill("order")
    expect(page.get_by_text("those of the run with key first-1")).to_be_visible()
    expect(page.get_by_label("URL of its endpoint")).to_have_value(url)
    page.get_by_label("Key, which says").fill("again-1")

    page.get_by_role("button", name="Start run").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("order")
    expect(page.locator(".run-title .badge")).to_have_text("succeeded")
    [again] = api.get("/runs?keyPrefix=again-1")["runs"]
    payload = api.get(f"/steps/{again['id']}")["payload"]
    assert payload == {"cents": 123456789012345678, "b": [1]}


def test_a_key_that_was_used_starts_nothing_and_says_so(page: Page, api: Api, endpoints: Endpoints) -> None:
    ok, busy = endpoints.serve("/ok", (200, 1)), endpoints.serve("/busy", (503, 0))
    api.start(ok, "ended", payload=None)
    api.start(busy, "live", payload=None, wait=False, retry={"count": 9, "backOff": 600_000})
    said = page.get_by_text("A run with this key exists. Nothing was started.")
    for url, key, is_used in ((ok, "ended", True), (busy, "live", True), (ok, "new", False)):
        open_at(page, api, "start")
        page.get_by_label("Workflow").fill("order")
        expect(page.get_by_text("those of the run with key")).to_be_visible()
        fill(page, url, key, "null")
        page.get_by_role("button", name="Start run").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("order")
        expect(page.locator(".run-title")).to_be_visible()
        expect(said).to_have_count(1 if is_used else 0)
        page.reload()
    assert len(api.get("/runs")["runs"]) == 3


def test_what_is_typed_is_not_filled_in_again(page: Page, api: Api, endpoints: Endpoints) -> None:
    for name in ("order", "orders"):
        api.start(endpoints.serve(f"/{name}", (200, 1)), "k", workflow=name, payload=name)
    open_at(page, api, "start")
    page.get_by_label("Workflow").fill("order")
    expect(page.get_by_label("Payload, as JSON")).to_have_value('"order"')
    page.get_by_label("Key, which says").fill("mine")
    page.get_by_label("Workflow").fill("orders")
    expect(page.get_by_label("Payload, as JSON")).to_have_value('"orders"')
    expect(page.get_by_label("URL of its endpoint")).to_have_value(f"{endpoints.url}/orders")
    expect(page.get_by_label("Key, which says")).to_have_value("mine")


def test_a_form_that_was_left_is_as_it_was(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/order", (200, 1))
    api.start(url, "k", workflow="order", payload=1)
    api.start(endpoints.serve("/bill", (200, 1)), "k", workflow="bill", payload=2)
    open_at(page, api, "start")
    page.get_by_label("Workflow").fill("order")
    expect(page.get_by_label("URL of its endpoint")).to_have_value(url)
    page.get_by_label("Key, which says").fill("mine")
    page.get_by_label("Payload, as JSON").fill('{"typed": 1}')
    page.keyboard.press("Control+k")
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
    page.go_back()
    expect(page.get_by_label("Workflow")).to_have_value("order")
    expect(page.get_by_label("Key, which says")).to_have_value("mine")
    expect(page.get_by_label("Payload, as JSON")).to_have_value('{"typed": 1}')
    # What was filled in is still replaced, and what was typed is not.
    page.get_by_label("Workflow").fill("bill")
    expect(page.get_by_label("URL of its endpoint")).to_have_value(f"{endpoints.url}/bill")
    expect(page.get_by_label("Payload, as JSON")).to_have_value('{"typed": 1}')
    # Another client has a form of its own, and a started run leaves none.
    other = Api(api.server, f"{api.client}-other")
    open_hash = "hash => { location.hash = hash }"
    page.evaluate(open_hash, f"#/{other.client}/start")
    expect(page.get_by_label("Key, which says")).to_have_value("")
    page.evaluate(open_hash, f"#/{api.client}/start")
    expect(page.get_by_label("Key, which says")).to_have_value("mine")
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("bill")
    page.go_back()
    expect(page.get_by_label("Key, which says")).to_have_value("")


def test_what_the_server_refuses_is_said_on_the_form(page: Page, api: Api, endpoints: Endpoints) -> None:
    url = endpoints.serve("/ok", (200, 1))
    api.start(url, "taken", workflow="order", payload=1)
    open_at(page, api, "start")
    page.get_by_label("Workflow").fill("order")
    expect(page.get_by_label("URL of its endpoint")).to_have_value(url)
    page.get_by_label("Payload, as JSON").fill("{")
    expect(page.get_by_text("The payload is not JSON.")).to_be_visible()
    expect(page.get_by_role("button", name="Start run")).to_be_disabled()
    fill(page, url, "taken", "2")
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_role("alert")).to_contain_text("different payload")


def copied_start(page: Page, api: Api, endpoints: Endpoints, name: str, payload: str) -> str:
    """What the form copies for a start with this payload."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_at(page, api, "start")
    page.get_by_label("Workflow").fill("pay")
    fill(page, endpoints.serve("/ok", (200, 1)), "k", payload)
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator(".note").filter(has_text="Copied.")).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.mark.skipif(not ESBUILD.exists(), reason="`make typescript/node_modules/installed` installs it")
def test_the_copied_typescript_sends_each_digit(
    page: Page, api: Api, endpoints: Endpoints, tmp_path: Path
) -> None:
    payload = '{"cents": 12345678901234567890, "text": "12345678901234567890 \\" 1", "a": [-1, 1.50, 2e3]}'
    text = copied_start(page, api, endpoints, "TypeScript", payload)
    assert "rounds" not in text
    program, built = tmp_path / "start.ts", tmp_path / "start.mjs"
    program.write_text(text)
    source = TYPESCRIPT / "src"
    aliases = [
        f"--alias:atomic-workflows={source}/index.ts",
        f"--alias:atomic-workflows/bigint={source}/bigint.ts",
    ]
    build = [str(ESBUILD), str(program), "--bundle", "--platform=node", "--format=esm", *aliases]
    subprocess.run([*build, f"--outfile={built}", "--log-level=error"], check=True, timeout=60)
    environment = {**os.environ, "ATOMIC_API_KEY": ""}
    subprocess.run(["node", str(built)], env=environment, check=True, timeout=60)
    [run] = api.get("/runs")["runs"]
    assert api.get(f"/steps/{run['id']}")["payload"] == json.loads(payload)


@pytest.mark.parametrize("name", ["Python", "TypeScript"])
@pytest.mark.parametrize("number", ["0.12345678901234567890123", "1e400", "1.2345678901234567890e5"])
def test_a_program_that_rounds_a_number_says_so(
    page: Page, api: Api, endpoints: Endpoints, name: str, number: str
) -> None:
    text = copied_start(
        page, api, endpoints, name, f'{{"a": [1.50, 0.10, -0.0, 1e-7, 1E+21], "b": {number}}}'
    )
    assert f" This program rounds {number}: the copy for curl sends it as it is." in text


@pytest.mark.parametrize("name", ["Python", "TypeScript"])
def test_a_program_that_rounds_nothing_says_nothing(
    page: Page, api: Api, endpoints: Endpoints, name: str
) -> None:
    payload = '[1.50, 0.10, 0, -0.0, 1e-7, 1E+21, 100, 0.30000000000000004, "0.12345678901234567890123"]'
    assert "rounds" not in copied_start(page, api, endpoints, name, payload)


@pytest.mark.parametrize("name", ["curl", "Python"])
@pytest.mark.skipif(shutil.which("curl") is None, reason="a copied command uses curl")
def test_what_is_copied_starts_the_run_and_does_nothing_else(
    page: Page, api: Api, endpoints: Endpoints, tmp_path: Path, name: str
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    hostile = f'{SHELL}\\"""\n"'
    open_at(page, api, "start")
    page.get_by_label("Workflow").fill(SHELL)
    fill(page, endpoints.serve("/ok", (200, 1)), SHELL, json.dumps({"text": hostile}))
    page.get_by_role("button", name=name).click()
    expect(page.locator(".note").filter(has_text="Copied.")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    command = ["sh", "-c", f"{text} -s"] if name == "curl" else [sys.executable, "-c", text]

    subprocess.run(command, cwd=tmp_path, env={**os.environ, "ATOMIC_API_KEY": ""}, check=True, timeout=60)

    assert list(tmp_path.iterdir()) == []
    [run] = api.get("/runs")["runs"]
    assert (run["workflowName"], run["idempotencyKey"]) == (SHELL, SHELL)
    assert api.get(f"/steps/{run['id']}")["payload"] == {"text": hostile}
