"""What the README shows is run: its files, its commands, its answers."""

import itertools
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scenarios.embedded_home import AtomicServer, free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The README's server and application, on ports of our own."""
    server = AtomicServer(tmp_path / "data")
    server.start()
    ports = {"8787": str(server.port), "9000": str(free_port())}
    [source] = [text for language, text in BLOCKS if language == "python"]
    (tmp_path / "shop.py").write_text(moved(source, ports))
    shop = subprocess.Popen(
        [sys.executable, str(tmp_path / "shop.py")], stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    try:
        wait_for_port(ports["9000"])
        yield ports
    finally:
        shop.kill()
        shop.wait()
        server.stop()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands use curl")
def test_every_command_gives_the_answer_that_stands_below_it(ports: dict[str, str]) -> None:
    shown = 0
    for (language, text), (below, answer) in itertools.pairwise(BLOCKS):
        if language == "sh" and text.startswith("curl") and below == "json":
            printed = subprocess.run(
                ["bash", "-c", moved(text, ports)], capture_output=True, check=True, timeout=30
            )
            assert_shown(json.loads(moved(answer, ports)), json.loads(printed.stdout))
            shown += 1
    assert shown == 3


def test_commands_of_the_project_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named <= targets
    assert {"demo", "test", "serve"} <= named


def test_links_inside_the_project_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")):
        prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def moved(text: str, ports: dict[str, str]) -> str:
    """The text with the README's ports replaced by ours."""
    for shown, ours in ports.items():
        text = text.replace(f":{shown}", f":{ours}").replace(f", {shown})", f", {ours})")
    return text


def assert_shown(shown: Any, actual: Any) -> None:
    """Equal, where an ellipsis in a string stands for anything."""
    if isinstance(shown, dict):
        assert list(shown) == list(actual)
        for name, value in shown.items():
            assert_shown(value, actual[name])
    elif isinstance(shown, list):
        assert len(shown) == len(actual)
        for item, other in zip(shown, actual, strict=True):
            assert_shown(item, other)
    elif isinstance(shown, str) and "…" in shown:
        assert re.fullmatch(".*".join(map(re.escape, shown.split("…"))), actual), actual
    else:
        assert shown == actual


def wait_for_port(port: str) -> None:
    """Until the application answers, 10 s at most."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
