"""A development server, and schemathesis at its description: python scripts/schemathesis.py [CASES]."""

# ruff: noqa: S603, S310, TID251 - it starts programs of this repository, and waits for them
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

REPO: Final = Path(__file__).parents[1]
PORT: Final = 8897
URL: Final = f"http://127.0.0.1:{PORT}"
CHECKS: Final = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance"
)


def main() -> int:
    """The exit code of schemathesis."""
    cases = sys.argv[1] if len(sys.argv) > 1 else "200"
    with tempfile.TemporaryDirectory() as directory:
        serve = [REPO / ".venv/bin/atomic", "serve", "--dev", "--port", str(PORT), "--log-level", "warning"]
        server = subprocess.Popen([*serve, "--data-dir", directory])
        try:
            _wait()
            command = [REPO / ".venv-audit/bin/st", "run", f"{URL}/openapi.json", "-n", cases]
            # Nobody waits for what a random document started.
            command += ["--phases", "examples,coverage,fuzzing", "--header", "Prefer: wait=0"]
            return subprocess.call([*command, "--checks", CHECKS, "--no-color"])
        finally:
            server.terminate()
            server.wait(40)


def _wait() -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"{URL}/health"):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    sys.exit(main())
