"""How many files one has to read to follow one POST, and one retry. A bound may be lowered but not raised.

The goals were 30 files for a POST on the embedded runtime, and fewer than 182 switches for a retry in
memory.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from path_of_a_post import PACKAGE, Trace

SCRIPT: Final = Path(__file__).parents[2] / "scripts" / "path_of_a_post.py"
# Files and switches of file, by runtime and path. An attempt asks whether its workflow is paused
# (docs/decisions/0195-a-paused-workflow-is-in-its-client.md).
BOUNDS: Final = {
    "memory": {"post": (22, 101), "retry": (27, 175)},
    # With `--dev`, one file more than without: it looks for the header `Atomic-Fault`. Two files learn what
    # destinations bear (docs/decisions/0173-adaptive-concurrency.md).
    "embedded": {"post": (33, 173), "retry": (39, 309)},
}
# The files that every path runs through, on each runtime.
LANDMARKS: Final = ("entrypoints/http_api/api.py", "domain/transitions.py", "application/commit.py")


@pytest.mark.parametrize("runtime", BOUNDS)
def test_the_paths_are_not_longer_than_they_were(runtime: str) -> None:
    # In a process of its own: the server needs the main thread, and coverage uses the same hooks.
    run = subprocess.run(
        [sys.executable, SCRIPT, runtime], capture_output=True, text=True, timeout=60, check=True
    )
    heads = re.findall(r"^(\w+) on \w+: .* (\d+) files, (\d+) switches$", run.stdout, re.MULTILINE)
    found = {name: (int(files), int(switches)) for name, files, switches in heads}
    assert found.keys() == BOUNDS[runtime].keys()
    for name, counted in found.items():
        assert all(map(int.__le__, counted, BOUNDS[runtime][name])), f"{name}: {counted}\n{run.stdout}"
    for landmark in LANDMARKS:
        assert run.stdout.count(landmark) == len(found), run.stdout


def test_a_trace_counts_each_thread_for_itself() -> None:
    one, two = (compile("", f"{PACKAGE}{name}.py", "exec") for name in ("one", "two"))
    trace = Trace(((1, one), (2, two), (1, one), (2, two), (1, two), (2, two)))
    assert trace.files == ("one.py", "two.py")
    assert trace.switches == 1
    assert str(trace) == "6 calls, 2 functions, 2 files, 1 switches"
