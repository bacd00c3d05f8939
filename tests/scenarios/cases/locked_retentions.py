"""What a key needs to set the retention of a workflow, and whose workflows have it."""

from scenarios.locked_clients import scoped
from scenarios.runtime import Runtime

# No other scenario takes a key of this client away.
CLIENT = "managed-secrets"
TARGET = f"/{CLIENT}/workflows/beats/retention"
BODY = b'{"days": 1}'


async def names_of(runtime: Runtime, client: str) -> list[str]:
    listed = await runtime.request("GET", f"/{client}/workflow-retentions", key_of=client)
    return [each["workflowName"] for each in listed.json["workflows"]]


async def scenario_a_retention_takes_a_key_for_admin_and_is_of_its_client_alone(runtime: Runtime) -> None:
    unknown = await runtime.request("GET", f"/{CLIENT}/steps/x", key_of=CLIENT)
    for method, body in (("PUT", BODY), ("DELETE", b"")):
        refused = await runtime.request(method, TARGET, body=body, key_of=CLIENT)
        assert (refused.status, refused.body) == (404, unknown.body)

    kept = await runtime.request("PUT", TARGET, body=BODY, key_of=scoped(CLIENT))
    assert (kept.status, kept.json["retentionDays"]) == (200, 1)
    assert (await names_of(runtime, CLIENT), await names_of(runtime, "alpha")) == (["beats"], [])
    cleared = await runtime.request("DELETE", TARGET, key_of=scoped(CLIENT))
    assert cleared.json["retentionDays"] > 1
    assert await names_of(runtime, CLIENT) == []
