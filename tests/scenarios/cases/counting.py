"""Workflows listed with counts, and counters of runs by hour and workflow."""

from typing import Any

from atomic.protocol.wire import from_rfc3339, to_rfc3339
from scenarios.cases.start_times import ASYNC
from scenarios.runtime import Runtime, always, answer_ok, failing_first
from scenarios.starts import assert_problem, document, retries

HOUR_MS = 3_600_000
NUMBERS = ("started", "succeeded", "failed", "cancelled", "live", "retries")


async def counters(runtime: Runtime, query: str = "") -> dict[str, dict[str, Any]]:
    """The sums of all hours, by workflow: a scenario may run while an hour ends."""
    reply = await runtime.get(f"/counters{query}")
    assert reply.status == 200, reply.body
    sums: dict[str, dict[str, Any]] = {}
    for counter in reply.json["counters"]:
        of_name = sums.setdefault(counter["workflowName"], dict.fromkeys(NUMBERS, 0))
        for name in NUMBERS:
            of_name[name] += counter[name]
    return sums


def of(*numbers: int) -> dict[str, int]:
    return dict(zip(NUMBERS, numbers, strict=True))


async def scenario_runs_are_counted_by_workflow_and_hour(runtime: Runtime) -> None:
    works = runtime.endpoint("/works", answer_ok)
    for number in range(3):
        await runtime.finish(document(works, key=f"k-{number}", workflowName="works"))
    flaky = runtime.endpoint("/flaky", failing_first(2, 500))
    await runtime.finish(document(flaky, key="k", workflowName="flaky", retry=retries(3)))
    broken = runtime.endpoint("/broken", always(422))
    await runtime.finish(document(broken, workflowName="broken", retry=retries(0)))
    waits = await runtime.start(
        document(works, key="later", workflowName="works", delay=3_600_000), **ASYNC
    )
    called_off = document(works, key="never", workflowName="works", delay=3_600_000)
    run_id = (await runtime.start(called_off, **ASYNC)).json["runId"]
    await runtime.post(f"/runs/{run_id}/cancel")
    # The first start of a key counts, and a repeated one does not.
    await runtime.finish(document(works, key="k-0", workflowName="works"))

    expected = {
        "works": of(5, 3, 0, 1, 1, 0),
        "flaky": of(1, 1, 0, 0, 0, 2),
        "broken": of(1, 0, 1, 0, 0, 0),
    }

    async def are_counted() -> bool:
        await runtime.count()
        return await counters(runtime) == expected

    await runtime.until(are_counted)
    assert await counters(runtime, "?workflowName=flaky") == {"flaky": expected["flaky"]}

    listed = (await runtime.get("/workflows")).json
    assert [each["workflowName"] for each in listed["workflows"]] == ["broken", "flaky", "works"]
    for each in listed["workflows"]:
        assert {name: each[name] for name in NUMBERS} == expected[each["workflowName"]]
        has_succeeded = each["succeeded"] > 0
        assert (each["durationMsP50"] is not None) is has_succeeded
        assert (each["durationMsP95"] or 0) >= (each["durationMsP50"] or 0)
    assert listed["workflows"][2]["lastStartAt"] >= waits.json["createdAt"]

    together = await counters(runtime, f"?allWorkflows=true&every={24 * 3_600_000}")
    assert together == {None: {name: sum(each[name] for each in expected.values()) for name in NUMBERS}}
    later = (await runtime.get("/workflows?from=2100-01-01T00:00:00Z")).json["workflows"]
    assert [(each["workflowName"], each["started"]) for each in later] == [
        ("broken", 0),
        ("flaky", 0),
        ("works", 0),
    ]
    sooner = (await runtime.get("/workflows?from=2020-01-01T00:00:00Z")).json
    assert sooner["workflows"] == listed["workflows"]

    first = (await runtime.get("/workflows?limit=2")).json
    rest = (await runtime.request("GET", first["next"])).json
    assert first["workflows"] + rest["workflows"] == listed["workflows"]
    assert rest["next"] is None


async def scenario_a_redriven_run_counts_as_what_it_became(runtime: Runtime) -> None:
    url = runtime.endpoint("/mended", failing_first(1, 422))
    failed = await runtime.finish(document(url, workflowName="mended", retry=retries(0)))

    async def is_counted(*numbers: int) -> None:
        async def look() -> bool:
            await runtime.count()
            return await counters(runtime) == {"mended": of(*numbers)}

        await runtime.until(look)

    await is_counted(1, 0, 1, 0, 0, 0)
    await runtime.post(f"/steps/{failed.json['id']}/redrive")
    await runtime.step_in(failed.json["id"], "succeeded")
    await is_counted(1, 1, 0, 0, 0, 0)


async def scenario_a_wrong_question_for_counters_is_told_its_cure(runtime: Runtime) -> None:
    for query, member in (
        ("from=yesterday", "from"),
        ("from=2026-01-01T00:00:00Z&to=2025-12-31T00:00:00Z", "to"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("workflow=a", "workflow"),
        ("every=3600001", "every"),
        ("every=420000", "every"),
        ("every=90000", "every"),
        ("every=30000", "every"),
        ("every=60000&cursor=MS43LmE=", "cursor"),
    ):
        refused = await runtime.get(f"/counters?{query}")
        assert_problem(refused, 400, "invalid-request")
        assert refused.json["detail"].startswith(f"{member}: ")
    for query in ("cursor=x", "from=yesterday", "to=2026-01-01T00:00:00Z"):
        assert_problem(await runtime.get(f"/workflows?{query}"), 400, "invalid-request")


async def scenario_a_client_without_runs_has_no_counters(runtime: Runtime) -> None:
    for query in ("", "?from=2020-01-01T00:00:00Z", "?to=2020-01-01T00:00:00Z&from=2019-12-01T00:00:00Z"):
        assert (await runtime.get(f"/counters{query}")).json == {
            "counters": [],
            "spanMs": HOUR_MS,
            "next": None,
        }
    listed = (await runtime.get("/workflows?from=2020-01-01T00:20:30Z")).json
    assert listed == {"workflows": [], "countedFrom": "2020-01-01T00:00:00.000Z", "next": None}


async def scenario_minutes_are_counted_or_said_to_be_hours(runtime: Runtime) -> None:
    """A server that counts hours only answers hours, and says so."""
    works = runtime.endpoint("/works", answer_ok)
    first = (await runtime.finish(document(works, key="k-1", workflowName="works"))).json
    await runtime.finish(document(works, key="k-2", workflowName="works"))

    async def are_counted() -> bool:
        await runtime.count()
        return (await counters(runtime)).get("works", {}).get("succeeded") == 2

    await runtime.until(are_counted)
    minutes = (await runtime.get("/counters?every=60000")).json
    span_ms = minutes["spanMs"]
    assert span_ms in {60_000, HOUR_MS}
    assert {each["spanMs"] for each in minutes["counters"]} == {span_ms}
    assert sum(each["started"] for each in minutes["counters"]) == 2
    oldest = minutes["counters"][-1]
    created_ms, began_ms = from_rfc3339(first["createdAt"]), from_rfc3339(oldest["beganAt"])
    assert began_ms == created_ms - created_ms % span_ms
    assert oldest["durationMsP50"] <= oldest["durationMsP95"] <= oldest["durationMsSum"]
    # What is asked for from before minutes are kept is answered by the hour, on every server.
    old = to_rfc3339(created_ms - 9 * HOUR_MS)
    assert (await runtime.get(f"/counters?every=300000&from={old}")).json["spanMs"] == HOUR_MS
    assert (await runtime.get(f"/counters?every=7200000&from={old}")).json["spanMs"] == 2 * HOUR_MS
    listed = (await runtime.get(f"/workflows?from={first['createdAt']}")).json
    assert from_rfc3339(listed["countedFrom"]) == began_ms
    assert [each["started"] for each in listed["workflows"]] == [2]
    together = (await runtime.get("/counters?every=60000&allWorkflows=true&limit=1")).json
    assert together["counters"][0]["workflowName"] is None
    if together["next"] is not None:
        rest = (await runtime.request("GET", together["next"])).json
        assert rest["spanMs"] == span_ms
        together["counters"] += rest["counters"]
    assert sum(each["started"] for each in together["counters"]) == 2
