"""A server that does not start, and what it says."""

import subprocess
import sys
from pathlib import Path


def refusal(data_dir: Path, *options: str) -> str:
    """The output of `atomic serve` on the directory. It must exit with 1 and without a stack trace."""
    command = [sys.executable, "-m", "atomic.cli", "serve", "--port", "0", "--data-dir", str(data_dir)]
    command += options or ["--dev"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr
