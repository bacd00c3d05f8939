"""Reading runs, steps and statistics, waiting for a step, and the pages for people and health checks."""

import asyncio
from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Runtime, always, answer_ok, failing_first
from scenarios.starts import Gate, document, moment, retries


async def scenario_a_run_shows_root_steps_and_attempts(runtime: Runtime) -> None:
    run = await run_of_steps(runtime, 3)

    shown = (await runtime.get(f"/runs/{run['runId']}")).json

    assert shown["next"] is None
    assert shown["run"] == {name: run[name] for name in shown["run"]}
    assert {name: shown["root"][name] for name in run} == run
    assert shown["root"]["parent"] is None
    assert sorted(step["stepName"] for step in shown["steps"]) == ["s0", "s1", "s2"]
    for step in shown["steps"]:
        assert step["parent"] == run["id"]
        assert step == (await runtime.get(f"/steps/{step['id']}")).json
        assert [attempt["number"] for attempt in step["attemptLog"]] == [1, 2]
        failed, succeeded = step["attemptLog"]
        assert (failed["outcome"], failed["status"]) == ("retryable", 503)
        assert "503" in failed["error"]
        assert (succeeded["outcome"], succeeded["status"], succeeded["error"]) == ("succeeded", 200, None)
        for attempt in step["attemptLog"]:
            took = moment(attempt["endedAt"]) - moment(attempt["startedAt"])
            assert attempt["duration"] == round(took.total_seconds() * 1000) >= 0
        assert moment(succeeded["startedAt"]) >= moment(failed["endedAt"])


async def scenario_pages_show_every_step_of_a_run_once(runtime: Runtime) -> None:
    run = await run_of_steps(runtime, 5)
    target = f"/{runtime.client}/runs/{run['runId']}"
    [whole] = await pages_of(runtime, target, "steps")
    everything = sorted(step["id"] for step in whole)
    assert len(everything) == 5

    for limit in (1, 2, 4, 6, 1000):
        pages = await pages_of(runtime, f"{target}?limit={limit}", "steps")
        assert sorted(step["id"] for page in pages for step in page) == everything
        assert max(map(len, pages)) <= limit


async def scenario_a_run_is_read_again_from_a_revision(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/order", gate)
    run = (await runtime.start(document(url), Prefer="respond-async")).json
    target = f"/runs/{run['runId']}"
    await gate.entered.wait()
    nap = {"kind": "timer", "workflowName": run["workflowName"], "idempotencyKey": "k", "delay": 3_600_000}
    for number in range(5):
        await runtime.start({**nap, "parent": run["id"], "stepName": f"s{number}"}, Prefer="respond-async")
    first = (await runtime.get(target)).json
    assert (len(first["steps"]), first["isPartial"]) == (5, False)

    same = (await runtime.get(f"{target}?since={first['revision']}")).json
    assert (same["steps"], same["isPartial"], same["revision"]) == ([], True, first["revision"])
    assert same["root"] == first["root"]

    woken = first["steps"][2]["id"]
    assert (await runtime.post(f"/steps/{woken}/cancel")).status == 200
    await runtime.start({**nap, "parent": run["id"], "stepName": "s5"}, Prefer="respond-async")
    later = (await runtime.get(f"{target}?since={first['revision']}")).json
    known = {step["id"]: step for step in first["steps"]}
    whole = {step["id"]: step for step in (await runtime.get(target)).json["steps"]}
    assert known | {step["id"]: step for step in later["steps"]} == whole
    assert whole[woken]["status"] == "cancelled"
    assert len(later["steps"]) < len(whole)

    # What does not fit the page is read from the beginning, page by page.
    short = (await runtime.get(f"{target}?limit=1&since={first['revision']}")).json
    assert (short["isPartial"], len(short["steps"])) == (False, 1)
    assert "since" not in short["next"]
    gate.open()
    for wrong in ("since=x", f"since={first['revision']}&after={woken}"):
        refused = await runtime.get(f"{target}?{wrong}")
        assert refused.status == 400
        assert "since" in refused.json["detail"]


async def scenario_a_step_shows_what_was_asked_for(runtime: Runtime) -> None:
    url = runtime.endpoint("/mail", answer_ok)
    retry = {
        "count": 7,
        "backOff": 5,
        "strategy": "linear",
        "factor": 3,
        "maxBackOff": 50,
        "jitter": "none",
    }
    rules = {"on": "404, 5XX", "never": "501"}
    trace = "0af7651916cd43dd8448eb211c80319c"

    reply = await runtime.start(
        document(url, payload={"a": 1}, retry=retry | rules, deadline=60_000, attemptTimeout=5000),
        traceparent=f"00-{trace}-b7ad6b7169203331-01",
    )

    step = (await runtime.get(f"/steps/{reply.json['id']}")).json
    assert step["retry"] == retry | {"on": "404,5xx", "never": "501", "then": "fail"}
    assert (step["payload"], step["attemptTimeout"], step["retriesUsed"]) == ({"a": 1}, 5000, 0)
    assert (moment(step["deadlineAt"]) - moment(step["createdAt"])).total_seconds() == 60
    assert (step["waitingFor"], step["traceId"]) == ([], trace)
    [seen] = runtime.calls(url)
    assert seen.call.headers["traceparent"].startswith(f"00-{trace}-")


async def scenario_a_page_of_a_run_ends_before_it_is_too_large_to_send(runtime: Runtime) -> None:
    large = runtime.endpoint("/large", always(200, json="x" * 230_000))

    async def workflow(call: EndpointCall) -> EndpointReply:
        for number in range(10):
            await runtime.start(document(large, key="run", workflowName="parent", stepName=f"s{number}"))
        return EndpointReply(json="done")

    root = await runtime.finish(
        document(runtime.endpoint("/workflow", workflow), key="run", workflowName="parent")
    )

    first = await runtime.get(f"/runs/{root.json['runId']}")
    assert len(first.body) < 2_000_000
    pages = await pages_of(runtime, f"/{runtime.client}/runs/{root.json['runId']}", "steps")
    assert [len(page) for page in pages] == [8, 2]
    assert len({step["id"] for page in pages for step in page}) == 10


async def scenario_waiting_for_a_step_ends_when_it_settles(runtime: Runtime) -> None:
    gate = Gate({"sent": True})
    url = runtime.endpoint("/mail", gate)
    step_id = (await runtime.start(document(url), Prefer="respond-async")).json["id"]
    clock = asyncio.get_running_loop()
    began_s = clock.time()
    waiting = [asyncio.create_task(runtime.get(f"/steps/{step_id}?wait=15000")) for _ in range(4)]
    await gate.entered.wait()

    gate.open()
    replies = await asyncio.gather(*waiting)

    assert clock.time() < began_s + 10
    assert {(reply.status, reply.json["status"]) for reply in replies} == {(200, "succeeded")}
    assert len({reply.body for reply in replies}) == 1
    assert (await runtime.get(f"/steps/{step_id}?wait=15000")).body == replies[0].body


async def scenario_waiting_for_a_step_ends_when_the_time_is_over(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/mail", gate)
    step_id = (await runtime.start(document(url), Prefer="respond-async")).json["id"]
    await gate.entered.wait()
    clock = asyncio.get_running_loop()

    for wait_ms in (0, 60):
        began_s = clock.time()
        reply = await runtime.get(f"/steps/{step_id}?wait={wait_ms}")
        assert (reply.status, reply.json["status"]) == (200, "running")
        assert began_s + wait_ms / 1000 - 0.002 <= clock.time() < began_s + 10

    gate.open()


async def scenario_stats_count_runs_and_live_steps(runtime: Runtime) -> None:
    nothing = (await runtime.get("/stats")).json
    assert (nothing["runs"], nothing["live"], nothing["deadLetters"]) == ({}, {}, 0)
    assert (nothing["window"], nothing["oldestDueAt"]) == (300_000, None)
    await start_runs(runtime, 2)
    await run_of_steps(runtime, 2)
    await runtime.start(document(runtime.endpoint("/lost", always(410)), key="lost"))
    gate = Gate()
    running = await runtime.start(
        document(runtime.endpoint("/slow", gate), key="slow"), Prefer="respond-async"
    )
    await gate.entered.wait()

    stats = (await runtime.get("/stats")).json

    assert stats["runs"] == {"succeeded": 3, "failed": 1, "running": 1}
    assert (stats["live"], stats["deadLetters"]) == ({"running": 1}, 1)
    assert stats["oldestDueAt"] == (await runtime.get(f"/steps/{running.json['id']}")).json["dueAt"]
    gate.open()
    await runtime.step_in(running.json["id"], "succeeded")
    await asyncio.sleep(0.02)
    recent = (await runtime.get("/stats?window=5")).json
    assert (recent["runs"], recent["live"], recent["window"]) == ({}, {}, 5)


async def scenario_pages_for_people_and_probes(runtime: Runtime) -> None:
    health, description, docs, style = [
        await runtime.request("GET", target)
        for target in ("/health", "/openapi.json", "/docs", "/static/docs.css")
    ]

    assert (health.status, health.json["status"]) == (200, "ok")
    assert (description.status, description.json["openapi"]) == (200, "3.1.0")
    assert description.headers["content-type"] == "application/json"
    assert description.json["info"]["version"] == health.json["version"]
    assert (docs.status, docs.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (style.status, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert b"<script" not in docs.body
    assert all(path.encode() in docs.body for path in description.json["paths"])
    for page in (docs, style):
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "no-referrer"


async def start_runs(runtime: Runtime, count: int) -> list[dict[str, Any]]:
    """Make finished runs of the workflow `w`, a few milliseconds apart."""
    url = runtime.endpoint("/listed", answer_ok)
    started = []
    for number in range(count):
        started.append((await runtime.start(document(url, key=f"listed-{number}"))).json)
        await asyncio.sleep(0.004)
    return started


async def run_of_steps(runtime: Runtime, count: int) -> dict[str, Any]:
    """Make a finished run whose steps each failed once; return its root."""
    step = [runtime.endpoint(f"/steps/{number}", failing_first(1, 503)) for number in range(count)]

    async def workflow(call: EndpointCall) -> EndpointReply:
        replies = [
            await runtime.start(
                document(url, key="run", workflowName="parent", stepName=f"s{number}", retry=retries(1))
            )
            for number, url in enumerate(step)
        ]
        assert {reply.status for reply in replies} <= {200}
        return EndpointReply(json=count)

    url = runtime.endpoint("/workflow", workflow)
    reply = await runtime.start(document(url, key="run", workflowName="parent"))
    assert reply.status == 200, reply.body
    root: dict[str, Any] = reply.json
    return root


async def pages_of(runtime: Runtime, link: str, member: str) -> list[list[dict[str, Any]]]:
    """Every page from this one on, by following `next`, which equals the Link header."""
    pages = []
    next_link: str | None = link
    while next_link is not None:
        reply = await runtime.request("GET", next_link)
        assert reply.status == 200, reply.body
        pages.append(reply.json[member])
        next_link = reply.json["next"]
        assert reply.headers.get("link") == (None if next_link is None else f'<{next_link}>; rel="next"')
    return pages
