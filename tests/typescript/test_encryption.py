"""Encrypted values between the two SDKs, and the server's files."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette

from atomic.sdk import Client, Context
from atomic.sdk.encryption import Encryption
from atomic.sdk.starlette import Endpoints
from scenarios.embedded_runtime import AtomicServer
from sdk.threads import asgi_server
from typescript.package import NEEDS_TOOLS

pytestmark = NEEDS_TOOLS

KEYS: Final = {"2026": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
# The program takes a line of JSON as a request for the client, and writes a line of JSON as its answer.
PROGRAM: Final = """
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Atomic, endpoints } from "atomic-workflows";
import { Encryption } from "atomic-workflows/encryption";
import { node } from "atomic-workflows/node";

const [url, python, id, key] = process.argv.slice(2);
const encryption = new Encryption({ keys: [{ id, key }], refusePlain: true });
const connection = encryption.connection({ url, clientId: "languages" });
const app = endpoints({ atomic: connection, waitMs: 1 });
app.workflow("answer", async (ctx, payload) => ({
  got: payload,
  drawn: await ctx.run("drawn", () => "a canary that was drawn"),
  told: await ctx.event("told"),
  step: await ctx.step(`${python}/echo`, payload),
}));
app.step("echo", (payload) => payload);
const server = createServer(node(encryption.serve(app)));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const atomic = new Atomic(connection);
console.log(JSON.stringify(`http://127.0.0.1:${server.address().port}`));
for await (const line of createInterface({ input: process.stdin })) {
  const { at, key, payload, told } = JSON.parse(line);
  const started = await atomic.start({ workflowName: "answer", url: at }, payload, { key, timeout: 0 });
  await atomic.signal({ workflowName: "answer", key, name: "told" }, told);
  console.log(JSON.stringify((await atomic.wait(started.id)).response));
}
process.exit(0);
"""
PAYLOAD: Final[dict[str, Any]] = {
    "text": "a canary: grüße, 世界 🎉",
    "numbers": [0, -1.5, 1e-07, 1.5e300, 2**53 - 1],
    "nothing": None,
    "nested": {"z": [], "a": {}, "\ue000": 1, "\U0001f600": 2},
}


@contextmanager
def typescript(installed: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    program = installed / "encrypted.mjs"
    program.write_text(PROGRAM)
    command = ["node", str(program), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=installed) as process:
        try:
            yield process
        finally:
            process.kill()


def test_each_language_reads_what_the_other_has_encrypted(server: AtomicServer, installed: Path) -> None:
    encryption = Encryption(KEYS, refuse_plain=True)
    client = Client(server.url, client_id="languages", codec=encryption)
    app = Starlette()
    endpoints = Endpoints(app, "/app", client=client, wait=0.05)
    other = ""

    @endpoints.step
    def echo(payload: Any) -> Any:
        return payload

    @endpoints.workflow
    def answer(ctx: Context, payload: Any) -> Any:
        return {
            "got": payload,
            "drawn": ctx.run("drawn", lambda: "a canary that was drawn"),
            "told": ctx.event("told"),
            "step": ctx.step(f"{other}/echo", payload),
        }

    expected = {"got": PAYLOAD, "drawn": "a canary that was drawn", "told": "a canary", "step": PAYLOAD}
    [(key_id, key)] = KEYS.items()
    with client, asgi_server(app) as url:
        program = typescript(installed, server.url, f"{url}/app", key_id, key)
        with program as process:
            assert process.stdin is not None
            assert process.stdout is not None
            other = json.loads(process.stdout.readline())
            # Python starts and tells, TypeScript answers, and one of its steps is of Python.
            started = client.start("answer", f"{other}/answer", PAYLOAD, key="python", timeout=0, retry=0)
            client.signal("answer", "python", "told", "a canary")
            assert client.wait(started.id, timeout=20).response == expected
            # And the reverse.
            asked = {"at": f"{url}/app/answer", "key": "ts", "payload": PAYLOAD, "told": "a canary"}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == expected
            # Equal values of equal places have equal ciphertexts, so each finds the run of the other.
            again = client.start("answer", f"{url}/app/answer", PAYLOAD, key="ts")
            assert again.response == expected
    stored = b"".join(file.read_bytes() for file in server.data_dir.rglob("*") if file.is_file())
    assert started.run_id.encode() in stored
    assert b"canary" not in stored
    assert "canary" not in server.log()
