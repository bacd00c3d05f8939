"""Runs that are exported as JSON Lines."""

import json
import re
from itertools import pairwise
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.cases.start_times import ASYNC
from scenarios.runtime import Runtime, answer_ok
from scenarios.starts import assert_problem, document


async def exported(runtime: Runtime, query: str = "") -> tuple[list[dict[str, Any]], int]:
    """All lines, and how many pages they came in."""
    link, pages = f"/{runtime.client}/export{query}", 0
    lines: list[dict[str, Any]] = []
    while link:
        page = await runtime.request("GET", link)
        assert (page.status, page.headers["content-type"]) == (200, "application/x-ndjson"), page.body
        assert not page.body or page.body.endswith(b"\n")
        lines += map(json.loads, page.body.splitlines())
        pages += 1
        found = re.fullmatch(r'<([^>]+)>; rel="next"', page.headers.get("link", ""))
        link = found[1] if found else ""
    return lines, pages


async def scenario_runs_are_exported_with_their_steps_in_pages(runtime: Runtime) -> None:
    inner = runtime.endpoint("/inner", answer_ok)

    async def workflow(call: EndpointCall) -> EndpointReply:
        for number in range(3):
            posted = document(inner, key=f"{number}", parent=call.json["stepId"], payload={"n": number})
            await runtime.finish(posted)
        return EndpointReply(json="line\u2028one")

    url = runtime.endpoint("/root", workflow)
    ids = [(await runtime.finish(document(url, key=f"k-{n}", payload=[n]))).json["id"] for n in range(3)]
    waits = await runtime.start(document(inner, key="later", delay=3_600_000), **ASYNC)

    lines, pages = await exported(runtime)

    assert pages == 1
    assert len({line["id"] for line in lines}) == len(lines) == 13
    roots = [line for line in lines if line["id"].endswith("-root")]
    assert {line["id"] for line in roots} == {*ids, waits.json["id"]}
    runs = [line["runId"] for line in lines]
    # All lines of a run follow each other.
    assert sum(a != b for a, b in pairwise(runs)) == 3
    for line in lines:
        if line["kind"] == "http":
            step = (await runtime.get(f"/steps/{line['id']}")).json
            assert line == step
    assert sorted(line["payload"] for line in roots if line["payload"]) == [[0], [1], [2]]
    for limit in (1, 4, 5, 12, 13):
        again, pages = await exported(runtime, f"?limit={limit}")
        assert again == lines
        assert pages == -(-13 // limit)


async def scenario_an_export_takes_filters_and_refuses_others(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", answer_ok)
    done = (await runtime.finish(document(url, key="done-1", payload="x" * 300_000))).json
    await runtime.start(document(url, key="later-1", delay=3_600_000), **ASYNC)

    for query in ("?status=succeeded", "?keyPrefix=done-", "?keyPrefix=done-&limit=1"):
        lines, _ = await exported(runtime, query)
        assert [line["id"] for line in lines] == [done["id"]]
    # As in every document, what is too long is told and not shown.
    assert (lines[0]["payload"], lines[0]["payloadBytes"]) == (None, 300_002)
    assert await exported(runtime, "?workflowName=never") == ([], 1)
    for number in range(8):
        await runtime.finish(document(url, key=f"large-{number}", payload="x" * 250_000))
    lines, pages = await exported(runtime, "?keyPrefix=large-")
    assert (len(lines), pages) == (8, 2)
    for query, field in (("status=lost", "status"), ("cursor=x", "cursor"), ("progress=true", "progress")):
        refused = await runtime.get(f"/export?{query}")
        assert_problem(refused, 400, "invalid-request")
        assert refused.json["errors"][0]["field"] == field
