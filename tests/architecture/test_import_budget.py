"""What `import atomic.sdk` loads: pydantic, and requests once a Client is created."""

import subprocess
import sys

SERVER_PARTS = "aiohttp apsw boto3 click httptools orjson prometheus_client uvicorn uvloop"
ALLOWED = {
    "annotated_types",
    "atomic",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}

BLOCKED = f"""
import sys
sys.modules.update(dict.fromkeys("{SERVER_PARTS} django fastapi flask sqlalchemy starlette".split()))
import atomic
from atomic import *
client = atomic.Client("http://127.0.0.1:9", client_id="me", patience=0)
try:
    client.start("w", "https://app.example/w", key="k")
except atomic.NoAnswerError:
    print("ok")
"""


def test_the_sdk_needs_no_server_part() -> None:
    found = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert found.stdout == "ok\n", found.stderr


SHOW = """
import sys
before = set(sys.modules)
import atomic.sdk
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - set(sys.stdlib_module_names)))
"""


def test_importing_the_sdk_loads_pydantic_and_nothing_else() -> None:
    shown = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True).stdout
    surplus = {name for name in set(shown.split()) - ALLOWED if not name.startswith("_")}
    assert surplus == set(), (
        f"import {sorted(surplus)} where it is used: every import of atomic.sdk loads it"
    )
