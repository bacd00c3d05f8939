"""Listing runs: order, pages, filters, and invalid queries."""

import asyncio
from urllib.parse import quote

from atomic.testing import EndpointCall, EndpointReply
from scenarios.cases.reading import pages_of, run_of_steps, start_runs
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import Gate, assert_problem, document, moment

UNKNOWN_RUN = "run_" + "0" * 32
BAD_QUERIES = (
    ("/runs", "limit=0", "limit"), ("/runs", "limit=101", "limit"), ("/runs", "limit=-1", "limit"),
    ("/runs", "limit=1.5", "limit"), ("/runs", "limit=ten", "limit"),
    ("/runs", "limit=%D9%A3", "limit"), ("/runs", "limit=" + "9" * 5000, "limit"),
    ("/runs", "status=done", "status"), ("/runs", "status=SUCCEEDED", "status"),
    ("/runs", "createdAfter=yesterday", "createdAfter"),
    ("/runs", "createdAfter=2026-01-01", "createdAfter"),
    ("/runs", "createdBefore=1767225600000", "createdBefore"),
    ("/runs", "createdBefore=2026-01-01T00:00:00", "createdBefore"), ("/runs", "cursor=x", "cursor"),
    ("/runs", "cursor=%C3%A9", "cursor"), ("/runs", "cursor=MS5ydW5f", "cursor"),
    ("/runs", "page=2", "page"), ("/runs", "Status=failed", "Status"),
    ("/runs", "limit=2&limit=3", "query"), ("/runs", "&".join(f"p{n}=1" for n in range(21)), "query"),
    ("/stats", "window=0", "window"), ("/stats", "window=1d", "window"), ("/stats", "from=1", "from"),
    ("/runs", "progress=1", "progress"), ("/dead-letters", "status=failed", "status"),
    ("/dead-letters", "limit=101", "limit"), ("/dead-letters", "cursor=x", "cursor"),
    ("/dead-letters", "createdAfter=yesterday", "createdAfter"),
    ("/dead-letters", "progress=true", "progress"),
    ("/runs/{run}", "limit=1001", "limit"), ("/runs/{run}", "after=x", "after"),
    ("/runs/{run}", "wait=1", "wait"), ("/steps/{run}-root", "wait=-1", "wait"),
    ("/steps/{run}-root", "wait=1s", "wait"), ("/steps/{run}-root", "wait=31622400001", "wait"),
    ("/steps/{run}-root", "limit=1", "limit"),
)  # fmt: skip


async def scenario_runs_are_listed_newest_first_without_payloads(runtime: Runtime) -> None:
    runs = await start_runs(runtime, 3)

    listed = (await runtime.get("/runs")).json

    assert [run["id"] for run in listed["runs"]] == [run["id"] for run in reversed(runs)]
    assert listed["next"] is None
    for summary, outcome in zip(listed["runs"], reversed(runs), strict=True):
        assert "payload" not in summary
        assert "response" not in summary
        assert summary == {name: outcome[name] for name in summary}


async def scenario_a_list_holds_runs_and_not_their_steps(runtime: Runtime) -> None:
    run = await run_of_steps(runtime, 2)

    listed = (await runtime.get("/runs")).json["runs"]

    assert [each["id"] for each in listed] == [run["id"]]


async def scenario_pages_show_every_run_once(runtime: Runtime) -> None:
    runs = await start_runs(runtime, 7)
    newest_first = [run["id"] for run in reversed(runs)]

    for limit in (1, 2, 3, 7, 100):
        pages = await pages_of(runtime, f"/{runtime.client}/runs?limit={limit}&workflowName=w", "runs")
        assert [run["id"] for page in pages for run in page] == newest_first
        assert {len(page) for page in pages[:-1]} <= {limit}

    [first, *_] = await pages_of(runtime, f"/{runtime.client}/runs?limit=3", "runs")
    link = (await runtime.get("/runs?limit=3")).json["next"]
    await runtime.start(document(runtime.endpoint("/later", answer_ok), key="later"))
    rest = await pages_of(runtime, link, "runs")
    assert [run["id"] for page in [first, *rest] for run in page] == newest_first


async def scenario_each_filter_of_the_list_counts(runtime: Runtime) -> None:
    url, lost = runtime.endpoint("/mail", answer_ok), runtime.endpoint("/lost", always(410))
    keys = ["a_1", "ab1", "a%1", "A_1", "a_2"]
    starts = [document(url, key=key) for key in keys]
    starts.append(document(lost, key="lost", workflowName="é w&x=1"))
    starts.append(document(url, key="a_3", workflowName="W"))
    for each in starts:
        await runtime.start(each)
        await asyncio.sleep(0.004)

    async def found(**wanted: str) -> list[str]:
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in wanted.items())
        return [run["idempotencyKey"] for run in (await runtime.get(f"/runs?{query}")).json["runs"]]

    assert await found(workflowName="w") == keys[::-1]
    assert await found(workflowName="é w&x=1") == ["lost"]
    assert await found(workflowName="nobody") == []
    assert await found(status="failed") == ["lost"]
    assert await found(status="running") == []
    assert await found(keyPrefix="a_") == ["a_3", "a_2", "a_1"]
    assert await found(keyPrefix="a%") == ["a%1"]
    assert await found(keyPrefix="A") == ["A_1"]
    assert await found(keyPrefix="a_1x") == []
    assert await found(keyPrefix="a_", workflowName="w", status="succeeded") == ["a_2", "a_1"]
    assert await found(keyPrefix="a_", workflowName="w", status="failed") == []


async def scenario_a_filter_without_a_value_is_refused(runtime: Runtime) -> None:
    """A program that lacks a value would otherwise act on all runs."""
    for query in ("status=", "workflowName=", "status=failed&keyPrefix=", "tag=", "tag=a:b&tag=", "limit="):
        refused = await runtime.get(f"/runs?{query}")
        assert_problem(refused, 400, "invalid-request")
        field = query.rpartition("&")[2].removesuffix("=")
        assert refused.json["detail"] == f"{field}: give it a value, or leave it out"


async def scenario_a_list_says_how_far_each_run_is_when_asked(runtime: Runtime) -> None:
    run = await run_of_steps(runtime, 3)
    gate = Gate()
    live = await runtime.start(
        document(runtime.endpoint("/slow", gate), key="live"), Prefer="respond-async"
    )
    await gate.entered.wait()

    listed = (await runtime.get("/runs?progress=true")).json["runs"]

    assert [each["id"] for each in listed] == [live.json["id"], run["id"]]
    # Each step failed once. The root's attempts count, but the root is not counted as a step.
    done = {"steps": {"succeeded": 3}, "attempts": 7, "retries": 3, "waitsFor": []}
    assert listed[1]["progress"] == done
    assert listed[0]["progress"] == {"steps": {}, "attempts": 1, "retries": 0, "waitsFor": []}
    for without in ("/runs", "/runs?progress=false"):
        assert not any("progress" in each for each in (await runtime.get(without)).json["runs"])
    gate.open()


async def scenario_dead_letters_are_steps_that_failed(runtime: Runtime) -> None:
    lost = runtime.endpoint("/lost", always(410))

    async def workflow(call: EndpointCall) -> EndpointReply:
        reply = await runtime.start(document(lost, key="run", workflowName="parent", stepName="mail"))
        return EndpointReply(status=410 if reply.status == 424 else 500)

    await runtime.start(document(runtime.endpoint("/workflow", workflow), key="run", workflowName="parent"))
    await runtime.start(document(runtime.endpoint("/ok", answer_ok), key="fine"))

    dead = (await runtime.get("/dead-letters")).json

    assert dead["next"] is None
    mail, root = sorted(dead["deadLetters"], key=lambda letter: letter["parent"] is None)
    assert [root["parent"], mail["parent"]] == [None, root["id"]]
    for letter in (root, mail):
        step = (await runtime.get(f"/steps/{letter['id']}")).json
        assert letter.pop("notRedrivableReason") is None
        assert letter == {name: step[name] for name in letter}
        assert (letter["status"], letter["responseStatus"]) == ("failed", 410)
        assert not letter.keys() & {"payload", "response"}


async def scenario_dead_letters_have_pages_and_filters(runtime: Runtime) -> None:
    lost = runtime.endpoint("/lost", always(410))
    for number in range(5):
        await runtime.start(
            document(lost, key=f"{'ab'[number % 2]}-{number}", workflowName=f"w{number // 3}")
        )
        await asyncio.sleep(0.004)
    keys = [f"{'ab'[number % 2]}-{number}" for number in reversed(range(5))]

    for limit in (1, 2, 5, 100):
        pages = await pages_of(runtime, f"/{runtime.client}/dead-letters?limit={limit}", "deadLetters")
        assert [letter["idempotencyKey"] for page in pages for letter in page] == keys

    async def found(query: str) -> list[str]:
        letters = (await runtime.get(f"/dead-letters?{query}")).json["deadLetters"]
        return [letter["idempotencyKey"] for letter in letters]

    assert await found("keyPrefix=b") == ["b-3", "b-1"]
    assert await found("workflowName=w1") == ["a-4", "b-3"]
    middle = (await runtime.get("/dead-letters?keyPrefix=a-2")).json["deadLetters"][0]
    after = quote(middle["createdAt"])
    assert await found(f"createdBefore={after}") == keys[3:]
    assert await found(f"createdAfter={after}") == keys[:3]

    await runtime.post(f"/steps/{middle['id']}/redrive")
    await runtime.step_in(middle["id"], "failed")
    assert await found("") == keys


async def scenario_a_status_is_found_while_it_lasts(runtime: Runtime) -> None:
    gate = Gate()
    running = runtime.endpoint("/running", gate)
    retrying = runtime.endpoint("/retrying", always(503))
    slow = {"count": 5, "backOff": 60_000, "jitter": "none"}
    await runtime.start(document(running, key="running"), Prefer="respond-async")
    await gate.entered.wait()
    await runtime.start(document(retrying, key="retrying", timeout=100, retry=slow))
    pending = await runtime.start(document(running, key="pending", delay=60_000), Prefer="respond-async")

    for status in ("running", "retrying", "pending"):
        listed = (await runtime.get(f"/runs?status={status}")).json["runs"]
        assert [(run["idempotencyKey"], run["status"]) for run in listed] == [(status, status)]

    gate.open()
    await runtime.post(f"/runs/{pending.json['runId']}/cancel")
    for run in (await runtime.get("/runs?status=retrying")).json["runs"]:
        await runtime.post(f"/runs/{run['runId']}/cancel")
    cancelled = (await runtime.get("/runs?status=cancelled")).json["runs"]
    assert [run["idempotencyKey"] for run in cancelled] == ["pending", "retrying"]
    assert (await runtime.get("/runs?status=pending")).json["runs"] == []


async def scenario_times_cut_at_the_millisecond(runtime: Runtime) -> None:
    runs = await start_runs(runtime, 3)
    first, middle, last = [run["id"] for run in runs]
    at = quote(runs[1]["createdAt"])
    shifted = quote(moment(runs[1]["createdAt"]).isoformat(timespec="milliseconds"))

    async def found(query: str) -> list[str]:
        return [run["id"] for run in (await runtime.get(f"/runs?{query}")).json["runs"]]

    assert await found(f"createdAfter={at}") == [last, middle]
    assert await found(f"createdBefore={at}") == [first]
    assert await found(f"createdAfter={shifted}") == [last, middle]
    assert await found(f"createdAfter={at}&createdBefore={at}") == []
    assert await found("createdBefore=2020-01-01T00:00:00Z") == []
    # No year has these in UTC.
    for query in ("createdAfter=0001-01-01T00:00:00%2B23:59", "createdBefore=9999-12-31T23:59:59-23:59"):
        assert (await runtime.get(f"/runs?{query}")).status == 400


async def scenario_an_invalid_query_is_a_400(runtime: Runtime) -> None:
    for path, query, field in BAD_QUERIES:
        reply = await runtime.get(f"{path.format(run=UNKNOWN_RUN)}?{query}")
        assert_problem(reply, 400, "invalid-request")
        assert [error["field"] for error in reply.json["errors"]] == [field], query[:80]
