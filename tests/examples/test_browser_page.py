"""The page that starts a run with a start token, in a browser."""

from pathlib import Path

from playwright.sync_api import expect

from chromium import chromium
from examples.commands import client_of, commands_in, open_terminal


def test_a_page_starts_a_run_and_shows_its_steps(tmp_path: Path) -> None:
    with chromium() as browser, open_terminal(tmp_path) as typed:
        for command in commands_in("browser_page.py"):
            typed.type(command)
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(typed.moved("http://127.0.0.1:9000"))

        page.get_by_role("button").click()

        expect(page.locator("#outcome"), "\n".join(said)).to_have_text("a cake of lemon dough")
        assert sorted(page.locator("li").all_text_contents()) == ["bake: succeeded", "mix: succeeded"]
        with client_of(typed) as client:
            [run] = client.runs()
        assert run.idempotency_key.startswith("user-42:")
        # Another page, under another origin, may not call: the browser tells it nothing.
        page.goto(typed.moved("http://localhost:9000"))
        page.get_by_role("button").click()
        page.wait_for_timeout(500)
        assert any("CORS policy" in line for line in said), said
        assert page.locator("#outcome").text_content() == ""
