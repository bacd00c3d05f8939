"""A workflow of the TypeScript SDK, in a process of Node, on the deployed stack."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from e2e_aws.aws_runtime import AwsStack

PACKAGE = Path(__file__).parents[2] / "typescript"
ESBUILD = PACKAGE / "node_modules" / ".bin" / "esbuild"
# Cold starts, and delays of whole seconds.
WITHIN_S = 180


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here: install Node 20.9 or newer")
@pytest.mark.skipif(
    not ESBUILD.exists(), reason="`make typescript/node_modules/installed` installs the tools"
)
def test_a_workflow_in_typescript(stack: AwsStack, tmp_path: Path) -> None:
    served = stack.endpoints()
    client_id = f"t{uuid4().hex[:12]}"
    api_key, secret = stack.create_signed_client(client_id, (f"{served.url}/",))
    program = tmp_path / "deployed.mjs"
    source = PACKAGE / "test" / "deployed.ts"
    bundled = ["--bundle", "--platform=node", "--format=esm", "--target=node20", "--log-level=warning"]
    subprocess.run([ESBUILD, source, *bundled, f"--outfile={program}"], check=True)
    told = {
        "ATOMIC_URL": stack.api,
        "ATOMIC_CLIENT_ID": client_id,
        "ATOMIC_API_KEY": api_key,
        "ATOMIC_SIGNING_SECRET": secret,
        "ENDPOINTS_URL": served.url,
        "PORT": str(served.port),
    }
    ended = subprocess.run(
        ["node", program], env={**os.environ, **told}, capture_output=True, text=True, timeout=WITHIN_S
    )
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    key = printed["response"]["user"].pop("key")
    assert key.startswith("ada-1")
    assert printed == {
        "status": "succeeded",
        "response": {
            "user": {"name": "ada", "since": "1970-01-01T00:00:00.000Z"},
            "attempt": 2,
            "doubled": [2, 4, 6],
            "reason": 500,
            "approval": {"by": "bob"},
            "isSameId": True,
        },
        "kinds": ["event", *["http"] * 6, "timer", "value", "value"],
        "isReplayed": True,
        "unsigned": 401,
    }
