"""Which URLs a schedule of a client with base URLs may name."""

import json

from scenarios.runtime import Runtime
from scenarios.starts import assert_problem


async def scenario_a_schedule_outside_the_base_urls_is_refused(runtime: Runtime) -> None:
    start = {"workflowName": "digest", "stepInvokeUrl": "https://elsewhere.example/"}
    wanted = json.dumps({"start": start, "every": 1000}).encode()
    refused = await runtime.request("PUT", "/alpha/schedules/out", body=wanted, key_of="alpha")
    assert_problem(refused, 403, "url-not-allowed")
    assert "stepInvokeUrl:" in refused.json["detail"]
    listed = await runtime.request("GET", "/alpha/schedules", key_of="alpha")
    assert listed.json["schedules"] == []
