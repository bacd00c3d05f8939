"""Which runs a bulk reaches, and what a key needs for one that erases."""

import json

from scenarios.asking import start_as
from scenarios.runtime import Runtime, always
from scenarios.starts import assert_problem, document


async def scenario_a_bulk_that_erases_takes_a_key_for_admin_as_well(runtime: Runtime) -> None:
    """An ordinary key may start, read and act."""
    url = runtime.endpoint("/app/bulk", always(410))
    failed = await start_as(runtime, "beta", document(url, key="bulk-1"))
    wanted = {"do": "erase", "filter": {"keyPrefix": "bulk-1"}}
    for more in ({}, {"dryRun": True}):
        body = json.dumps({**wanted, **more}).encode()
        refused = await runtime.request("POST", "/beta/bulk", body=body, key_of="beta")
        assert_problem(refused, 404, "not-found")
    counted = json.dumps({"do": "redrive", "filter": wanted["filter"], "dryRun": True}).encode()
    fit = [
        await runtime.request("POST", f"/{who}/bulk", body=counted, key_of=who) for who in ("beta", "alpha")
    ]
    assert [each.json["runs"] for each in fit] == [1, 0]
    kept = await runtime.request("GET", f"/beta/steps/{failed.json['id']}", key_of="beta")
    assert kept.status == 200
