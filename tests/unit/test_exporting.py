"""What an export must not do: read for strangers, or break its lines."""

import base64
import json
from typing import Any

from atomic.testing import EndpointCall, EndpointReply, LocalAtomic, run
from scenarios.runtime import answer_ok


def start(url: str, key: str, **members: Any) -> dict[str, Any]:
    return {"workflowName": "w", "stepInvokeUrl": url, "idempotencyKey": key, **members}


def test_a_cursor_reads_no_run_of_another_client() -> None:
    async def body() -> None:
        async with LocalAtomic() as atomic:
            url = atomic.endpoint("/ok", answer_ok)
            theirs = (await atomic.post("/acme", start(url, "k", payload="secret"))).json["runId"]
            await atomic.post("/other", start(url, "mine", payload=1))
            text = f"99999999999999.{theirs}-{0:032d}"
            cursor = base64.urlsafe_b64encode(text.encode()).decode()
            page = await atomic.get(f"/other/export?cursor={cursor}")
            assert page.status == 200
            assert [json.loads(line)["idempotencyKey"] for line in page.body.splitlines()] == ["mine"]

    run(body())


def test_a_step_is_one_line_whatever_its_response_looks_like() -> None:
    written = b'{\r\n  "a": [1,\n 12345678901234567890]\n}'

    async def answer(_call: EndpointCall) -> EndpointReply:
        return EndpointReply(body=written, headers={"content-type": "application/json"})

    async def body() -> None:
        async with LocalAtomic() as atomic:
            await atomic.post("/acme", start(atomic.endpoint("/a", answer), "k"))
            [line] = (await atomic.get("/acme/export")).body.splitlines()
            assert json.loads(line)["response"] == json.loads(written)

    run(body())
