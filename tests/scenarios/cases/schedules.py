"""Schedules: each time has one run; overlap, pause, trigger, backfill, deletion, refusals."""

import json
from typing import Any

from atomic.protocol.wire import from_rfc3339, to_rfc3339
from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.runtime import Runtime, Seen, answer_ok
from scenarios.starts import assert_problem

_DAY_MS = 86_400_000


def schedule(url: str, **members: Any) -> dict[str, Any]:
    """A schedule of a workflow; each second unless it says otherwise."""
    start = {
        "workflowName": "digest",
        "stepInvokeUrl": url,
        "payload": {"of": "day"},
        "retry": {"count": 0},
    }
    times = {} if members.keys() & {"cron", "at", "every"} else {"every": 1000}
    return {"start": start, **times, **members}


async def put(runtime: Runtime, document: dict[str, Any], name: str = "digest", **headers: str) -> ApiReply:
    """Put a schedule."""
    given = {header.replace("_", "-"): value for header, value in headers.items()}
    path = f"/{runtime.client}/schedules/{name}"
    return await runtime.request("PUT", path, body=json.dumps(document).encode(), headers=given)


async def delete(runtime: Runtime, name: str = "digest") -> ApiReply:
    """Delete a schedule."""
    return await runtime.request("DELETE", f"/{runtime.client}/schedules/{name}")


async def shown(runtime: Runtime, name: str = "digest") -> dict[str, Any]:
    """A schedule as it stands."""
    document: dict[str, Any] = (await runtime.get(f"/schedules/{name}")).json
    return document


async def calls_of(runtime: Runtime, url: str, count: int) -> list[Seen]:
    """The calls of the endpoint, once there are so many."""

    async def enough() -> bool:
        return len(runtime.calls(url)) >= count

    await runtime.until(enough)
    return sorted(runtime.calls(url), key=lambda seen: seen.call.headers["atomic-scheduled-at"])


async def scenario_a_schedule_starts_a_run_at_each_time(runtime: Runtime) -> None:
    url = runtime.endpoint("/digest", answer_ok)

    # The first run of a stack that nobody has used yet takes seconds.
    reply = await put(runtime, schedule(url, overlap="allow"))

    assert (reply.status, reply.headers["etag"]) == (201, f'"{reply.json["version"]}"')
    first_ms = from_rfc3339(reply.json["dueAt"])
    assert first_ms % 1000 == 0
    assert reply.json["next"] == [to_rfc3339(first_ms + n * 1000) for n in range(5)]
    first, second, third = [seen.call for seen in (await calls_of(runtime, url, 5))[:3]]
    times = [call.headers["atomic-scheduled-at"] for call in (first, second, third)]
    assert times == reply.json["next"][:3]
    assert "atomic-last-scheduled-at" not in first.headers
    assert second.headers["atomic-last-scheduled-at"] == times[0]
    body = json.loads(second.body)
    assert (body["scheduledAt"], body["payload"]) == (times[1], {"of": "day"})
    assert body["idempotencyKey"] == f"digest@{times[1].replace('.000Z', 'Z')}"
    now = await shown(runtime)
    assert now["started"] >= 3
    assert (now["missed"], now["last"]["status"] in {"running", "succeeded"}) == (0, True)
    run = (await runtime.get(f"/runs/{body['runId']}")).json["run"]
    assert (run["scheduledAt"], run["workflowName"]) == (times[1], "digest")
    await delete(runtime)


async def scenario_a_deleted_schedule_starts_nothing(runtime: Runtime) -> None:
    url = runtime.endpoint("/digest", answer_ok)
    await put(runtime, schedule(url))
    await calls_of(runtime, url, 1)

    assert (await delete(runtime)).json == {"deleted": "digest"}

    started = {seen.call.headers["atomic-run-id"] for seen in runtime.calls(url)}
    assert_problem(await runtime.get("/schedules/digest"), 404, "not-found")
    assert_problem(await delete(runtime), 404, "not-found")
    # A schedule that is put later shows that time goes on.
    other = runtime.endpoint("/other", answer_ok)
    await put(runtime, schedule(other), "other")
    await calls_of(runtime, other, 3)
    # One may have been under way.
    later = {seen.call.headers["atomic-run-id"] for seen in runtime.calls(url)} - started
    assert len(later) <= 1
    await delete(runtime, "other")


async def scenario_a_paused_schedule_waits_to_be_resumed(runtime: Runtime) -> None:
    url = runtime.endpoint("/digest", answer_ok)

    reply = await put(runtime, schedule(url, paused=True, note="not yet"))

    assert (reply.json["dueAt"], reply.json["next"], reply.json["note"]) == (None, [], "not yet")
    following = (await runtime.get("/schedules/digest/next?count=2&from=2026-01-01T00:00:00.500Z")).json
    assert following == {"next": ["2026-01-01T00:00:01.000Z", "2026-01-01T00:00:02.000Z"]}
    resumed = (await runtime.post("/schedules/digest/resume")).json
    assert (resumed["paused"], resumed["note"], resumed["missed"]) == (False, "", 0)
    await calls_of(runtime, url, 1)
    paused = (await runtime.post("/schedules/digest/pause", {"note": "holidays"})).json
    assert (paused["paused"], paused["note"], paused["dueAt"]) == (True, "holidays", None)
    again = (await runtime.post("/schedules/digest/pause")).json
    assert again["version"] == paused["version"]

    kept = (await put(runtime, schedule(url))).json
    assert (kept["paused"], kept["note"], kept["dueAt"]) == (True, "holidays", None)


async def _overlapping(runtime: Runtime, overlap: str) -> tuple[list[str], dict[str, Any]]:
    """The times of the runs of a schedule whose first run is retried for some seconds; and the schedule."""
    is_released = False

    async def slow(call: EndpointCall) -> EndpointReply:
        is_first = "atomic-last-scheduled-at" not in call.headers
        return EndpointReply(status=503 if is_first and not is_released else 200, json=None)

    url = runtime.endpoint("/slow", slow)
    document = schedule(url, overlap=overlap)
    document["start"]["retry"] = {"count": 1000, "backOff": 300, "strategy": "fixed", "jitter": "none"}
    first = (await put(runtime, document)).json["next"][0]

    async def moved_on() -> bool:
        now = await shown(runtime)
        return bool(now["skipped"] + now["started"] >= 3)

    await runtime.until(moved_on)
    middle, is_released = await shown(runtime), True

    async def went_on() -> bool:
        return (await shown(runtime))["started"] > 1

    await runtime.until(went_on)
    await delete(runtime)
    runs = (await runtime.get("/runs?workflowName=digest")).json["runs"]
    times = sorted(run["scheduledAt"] for run in runs)
    assert times[0] == first
    return times, middle


async def scenario_a_slot_is_skipped_while_the_last_run_goes_on(runtime: Runtime) -> None:
    times, middle = await _overlapping(runtime, "skip")
    assert (middle["started"], middle["skipped"] >= 2, middle["queued"]) == (1, True, None)
    assert from_rfc3339(times[1]) - from_rfc3339(times[0]) >= 3000


async def scenario_one_slot_is_queued_until_the_last_run_ends(runtime: Runtime) -> None:
    times, middle = await _overlapping(runtime, "queue")
    assert (middle["started"], middle["skipped"] >= 1) == (1, True)
    # The queued one is the first after the one that lasted.
    assert middle["queued"] == times[1]
    assert from_rfc3339(times[1]) - from_rfc3339(times[0]) == 1000


async def scenario_runs_may_overlap(runtime: Runtime) -> None:
    _, middle = await _overlapping(runtime, "allow")
    assert (middle["started"] >= 3, middle["skipped"]) == (True, 0)


async def scenario_the_last_run_is_cancelled_for_the_next(runtime: Runtime) -> None:
    _, middle = await _overlapping(runtime, "cancel")
    assert (middle["started"] >= 3, middle["skipped"]) == (True, 0)
    runs = (await runtime.get("/runs?workflowName=digest")).json["runs"]
    assert min(runs, key=lambda run: run["scheduledAt"])["status"] == "cancelled"


async def scenario_a_schedule_pauses_itself_after_failures(runtime: Runtime) -> None:
    async def fails(_: EndpointCall) -> EndpointReply:
        return EndpointReply(status=400, json={"error": "no"})

    url = runtime.endpoint("/fails", fails)
    await put(runtime, schedule(url, pauseAfterFailures=2))

    async def paused() -> bool:
        return bool((await shown(runtime))["paused"])

    await runtime.until(paused)
    now = await shown(runtime)
    assert (now["started"], now["failures"], now["note"]) == (2, 2, "paused itself: 2 runs in a row failed")


async def scenario_a_trigger_starts_one_run_for_its_key(runtime: Runtime) -> None:
    url = runtime.endpoint("/digest", answer_ok)
    await put(runtime, schedule(url, every=_DAY_MS, paused=True))
    path = f"/{runtime.client}/schedules/digest/trigger"

    replies = [
        await runtime.request("POST", path, headers={"Idempotency-Key": key}) for key in ("a", "a", "b")
    ]

    assert [(reply.status, reply.json["created"]) for reply in replies] == [
        (201, True),
        (200, False),
        (201, True),
    ]
    assert len({reply.json["runId"] for reply in replies}) == 2
    assert len(await calls_of(runtime, url, 2)) == 2
    assert_problem(await runtime.request("POST", path), 400, "invalid-request")


async def scenario_a_backfill_starts_each_past_run_once(runtime: Runtime) -> None:
    url = runtime.endpoint("/digest", answer_ok)
    created = (await put(runtime, schedule(url, cron="0 12 * * *", timeZone="UTC"))).json["createdAt"]
    noon_ms = _DAY_MS // 2 + from_rfc3339(created) // _DAY_MS * _DAY_MS
    times_ms = [noon_ms - n * _DAY_MS for n in (4, 3, 2)]
    asked = {"from": to_rfc3339(times_ms[0] - 1), "to": to_rfc3339(times_ms[2] + 1)}
    expected = [to_rfc3339(time_ms) for time_ms in times_ms]

    seen = (await runtime.post("/schedules/digest/backfill", {**asked, "dryRun": True})).json
    page = (await runtime.post("/schedules/digest/backfill", {**asked, "limit": 2})).json
    half = (await runtime.post("/schedules/digest/backfill", {**asked, "dryRun": True})).json
    rest = (await runtime.post("/schedules/digest/backfill", {**asked, "from": page["next"]})).json
    again = (await runtime.post("/schedules/digest/backfill", asked)).json

    assert [slot["scheduledAt"] for slot in seen["slots"]] == expected
    assert {(slot["runId"], slot["created"]) for slot in seen["slots"]} == {(None, False)}
    assert (seen["started"], seen["existing"]) == (0, 0)
    started = [slot["runId"] for slot in page["slots"]]
    assert [slot["runId"] for slot in half["slots"]] == [*started, None]
    assert (half["started"], half["existing"]) == (0, 2)
    assert (page["started"], page["next"]) == (2, expected[2])
    assert (rest["started"], rest["existing"], rest["next"]) == (1, 0, None)
    assert (again["started"], again["existing"]) == (0, 3)
    calls = await calls_of(runtime, url, 3)
    assert [seen.call.headers["atomic-scheduled-at"] for seen in calls] == expected
    await delete(runtime)


async def scenario_a_schedule_ends_after_its_limit_and_its_moments(runtime: Runtime) -> None:
    url = runtime.endpoint("/digest", answer_ok)
    other = runtime.endpoint("/at", answer_ok)
    reply = await put(runtime, schedule(url, limit=2))
    # Far enough ahead for a request that takes a second or two.
    ahead_ms = from_rfc3339(reply.json["next"][-1]) + 1000
    soon = [to_rfc3339(ahead_ms + n * 1000) for n in range(3)]
    await put(runtime, schedule(other, at=[soon[2], soon[0]]), "at")

    await calls_of(runtime, url, 2)
    times = [seen.call.headers["atomic-scheduled-at"] for seen in await calls_of(runtime, other, 2)]

    assert times == [soon[0], soon[2]]
    for name in ("digest", "at"):
        now = await shown(runtime, name)
        assert (now["started"], now["next"], now["dueAt"]) == (2, [], None)


async def scenario_a_schedule_is_replaced_by_version(runtime: Runtime) -> None:
    url = runtime.endpoint("/digest", answer_ok)
    first = await put(runtime, schedule(url, every=_DAY_MS), If_None_Match="*")

    taken = await put(runtime, schedule(url, every=_DAY_MS), If_None_Match="*")
    second = await put(runtime, schedule(url, every=_DAY_MS, note="two"), If_Match=first.headers["etag"])
    late = await put(runtime, schedule(url, every=_DAY_MS, note="late"), If_Match=first.headers["etag"])
    dry = await runtime.request(
        "PUT",
        f"/{runtime.client}/schedules/digest?dryRun=true",
        body=json.dumps(schedule(url, cron="0 0 1 1 *", timeZone="Asia/Tokyo")).encode(),
    )

    assert (first.status, second.status) == (201, 200)
    assert second.json["version"] == first.json["version"] + 1
    assert_problem(taken, 412, "precondition-failed")
    assert_problem(late, 412, "precondition-failed")
    assert late.json["version"] == second.json["version"]
    assert dry.json["next"][0].endswith("12-31T15:00:00.000Z")
    assert (await shown(runtime))["note"] == "two"
    listed = (await runtime.get("/schedules")).json["schedules"]
    assert [each["name"] for each in listed] == ["digest"]
    await delete(runtime)


async def scenario_a_wrong_schedule_is_refused_by_its_member(runtime: Runtime) -> None:
    url = runtime.endpoint("/digest", answer_ok)
    wrong = [
        (schedule(url, cron="61 * * * *"), "cron"),
        (schedule(url, cron="* * * *"), "cron"),
        (schedule(url, cron="0 0 31 2 *"), "cron"),
        (schedule(url, cron="0 9 * * *", timeZone="Europe/Berln"), "timeZone"),
        (schedule(url, every=999), "every"),
        (schedule(url, every=1000, cron="* * * * *"), "cron"),
        (schedule(url, every=1000, timeZone="UTC"), "timeZone"),
        (schedule(url, at=["tomorrow"]), "at"),
        (schedule("ftp://x", every=1000), "start.stepInvokeUrl"),
    ]
    for document, member in wrong:
        reply = await put(runtime, document)
        assert_problem(reply, 400, "invalid-request")
        assert member in json.dumps(reply.json), (member, reply.json)
    assert_problem(await put(runtime, schedule(url), "a%20b"), 400, "invalid-request")
    large = schedule(url)
    large["start"]["payload"] = "x" * 70_000
    assert_problem(await put(runtime, large), 413, "too-large")
    assert (await runtime.get("/schedules")).json == {"schedules": [], "next": None}
