"""The same done to many runs at once."""

import json
from typing import Any

from atomic.testing import ApiReply
from scenarios.cases.auditing import log, told
from scenarios.cases.pausing import at_rest
from scenarios.cases.start_times import ASYNC
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import Gate, assert_problem, document, retries

DAY_MS = 86_400_000


async def bulk(runtime: Runtime, do: str, key: str | None = None, /, **members: Any) -> ApiReply:
    body = json.dumps({"do": do, **members}).encode()
    headers = {"Idempotency-Key": key} if key else {}
    return await runtime.request("POST", f"/{runtime.client}/bulk", body=body, headers=headers)


async def ended(runtime: Runtime, begun: ApiReply, status: str = "succeeded") -> dict[str, Any]:
    """The bulk, when it has ended."""
    assert begun.status == 202, begun.body
    run_id = begun.json["runId"]
    await runtime.step_in(f"{run_id}-root", status)
    found: dict[str, Any] = (await runtime.get(f"/bulk/{run_id}")).json
    return found


def counts(done: dict[str, Any]) -> tuple[int, int, int, int]:
    return done["runs"], done["done"], done["skipped"], done["refused"]


async def keys_of(runtime: Runtime, query: str) -> list[str]:
    return sorted(run["idempotencyKey"] for run in (await runtime.get(f"/runs?{query}")).json["runs"])


async def fail(runtime: Runtime, url: str, *keys: str, **members: Any) -> list[str]:
    """Runs that have failed; the ids of their roots."""
    roots = [
        (await runtime.finish(document(url, key=key, retry=retries(0), **members))).json["id"]
        for key in keys
    ]
    for root_id in roots:
        await runtime.step_in(root_id, "failed")
    return roots


async def scenario_failed_runs_that_fit_a_filter_are_redriven_together(runtime: Runtime) -> None:
    url = runtime.endpoint("/lost", always(410))
    wanted = await fail(runtime, url, "k-1", "k-2", tags={"outage": "1"})
    others = await fail(runtime, url, "k-3", tags={"outage": "2"}) + await fail(runtime, url, "k-4")
    wanted_filter = {"tag": ["outage:1"]}

    dry = await bulk(runtime, "redrive", filter=wanted_filter, dryRun=True)
    done = await ended(runtime, await bulk(runtime, "redrive", filter=wanted_filter, note="mended"))

    assert (dry.status, dry.json["runs"], dry.json["isAll"]) == (200, 2, True)
    assert {run["idempotencyKey"] for run in dry.json["sample"]} == {"k-1", "k-2"}
    assert counts(done) == (2, 2, 0, 0)
    assert (done["do"], done["filter"], done["note"]) == ("redrive", wanted_filter, "mended")
    assert done["finishedAt"] is not None
    # They have failed again by now, and nothing redrives them once more.
    for root_id, generation in [*((root, 2) for root in wanted), *((root, 1) for root in others)]:
        step = await runtime.step_in(root_id, "failed")
        assert (step["generation"], step["attempts"]) == (generation, generation)
    run = (await runtime.get(f"/runs/{done['runId']}")).json
    assert (run["run"]["workflowName"], run["run"]["stepInvokeUrl"]) == ("bulk/redrive", None)
    assert [step["stepName"] for step in run["steps"]] == ["page"]
    noted = {"do": "redrive", "runId": done["runId"]}
    assert told(await log(runtime))[0] == ("startBulk", noted, 202)


async def scenario_the_runs_of_one_cause_are_redriven_and_others_dismissed(runtime: Runtime) -> None:
    gone, broken = runtime.endpoint("/gone", always(410)), runtime.endpoint("/broken", always(503))
    of_gone, of_broken = await fail(runtime, gone, "k-1", "k-2"), await fail(runtime, broken, "k-3", "k-4")
    causes = {cause["responseStatus"]: cause for cause in (await runtime.get("/causes")).json["causes"]}
    assert {status: cause["count"] for status, cause in causes.items()} == {410: 2, 503: 2}
    wanted = {"cause": causes[410]["id"], "dismissed": False}

    redriven = await ended(runtime, await bulk(runtime, "redrive", filter=wanted))
    dismissed = await ended(
        runtime, await bulk(runtime, "dismiss", filter={"cause": causes[503]["id"]}, note="known")
    )

    assert (counts(redriven), counts(dismissed)) == ((2, 2, 0, 0), (2, 2, 0, 0))
    for root_id in of_gone:
        assert (await runtime.step_in(root_id, "failed"))["generation"] == 2
    for root_id in of_broken:
        step = (await runtime.get(f"/steps/{root_id}")).json
        assert (step["generation"], step["dismissed"]["note"]) == (1, "known")
    left = (await runtime.get("/causes")).json["causes"]
    assert [(cause["responseStatus"], cause["count"]) for cause in left] == [(410, 2)]


async def scenario_a_bulk_of_a_key_is_one_bulk(runtime: Runtime) -> None:
    url = runtime.endpoint("/lost", always(410))
    [root_id] = await fail(runtime, url, "k-1")
    wanted = {"keyPrefix": "k-"}

    first = await bulk(runtime, "redrive", "b-1", filter=wanted)
    await ended(runtime, first)
    again = await bulk(runtime, "redrive", "b-1", filter=wanted)
    other = await bulk(runtime, "redrive", "b-1", filter={"keyPrefix": "k-2"})
    elsewhere = await bulk(runtime, "restart", "b-1", filter={"keyPrefix": "none"})

    assert again.json["runId"] == first.json["runId"]
    assert (again.status, again.json["status"], again.json["done"]) == (202, "succeeded", 1)
    assert_problem(other, 422, "payload-mismatch")
    assert counts(await ended(runtime, elsewhere)) == (0, 0, 0, 0)
    assert (await runtime.step_in(root_id, "failed"))["generation"] == 2


async def scenario_live_runs_are_paused_resumed_and_cancelled_together(runtime: Runtime) -> None:
    gate = Gate()
    url, other = runtime.endpoint("/slow", gate), runtime.endpoint("/ok", answer_ok)
    live = [
        (await runtime.start(document(url, key=f"live-{number}", delay=DAY_MS), **ASYNC)).json["id"]
        for number in range(3)
    ]
    await runtime.finish(document(other, key="live-ended"))
    wanted = {"keyPrefix": "live-"}

    paused = await ended(runtime, await bulk(runtime, "pause", filter=wanted, note="an outage"))
    assert counts(paused) == (3, 3, 0, 0)
    shown = [(await runtime.get(f"/steps/{root_id}")).json["paused"]["note"] for root_id in live]
    assert shown == ["an outage"] * 3
    again = await ended(runtime, await bulk(runtime, "pause", filter=wanted))
    assert counts(again) == (3, 0, 3, 0)
    due = await ended(runtime, await bulk(runtime, "due", filter={"keyContains": "ive-0"}))
    assert counts(due) == (1, 1, 0, 0)
    await at_rest(runtime, live[0])
    resumed = await ended(runtime, await bulk(runtime, "resume", filter=wanted))
    assert counts(resumed) == (3, 3, 0, 0)
    await runtime.until(lambda: entered(gate))
    cancelled = await ended(runtime, await bulk(runtime, "cancel", filter=wanted))
    gate.open()

    assert counts(cancelled) == (3, 3, 0, 0)
    assert await keys_of(runtime, "status=cancelled") == ["live-0", "live-1", "live-2"]


async def entered(gate: Gate) -> bool:
    return gate.entered.is_set()


async def scenario_ended_runs_are_restarted_and_erased_together(runtime: Runtime) -> None:
    url = runtime.endpoint("/ok", answer_ok)
    for number in range(3):
        await runtime.finish(document(url, key=f"k-{number}", tags={"batch": "7"}))
    await runtime.finish(document(url, key="kept"))
    # An earlier run has the key of a restart.
    await runtime.finish(document(url, key="k-2/2", payload="another"))
    wanted = {"tag": ["batch:7"], "status": "succeeded"}

    restarted = await ended(runtime, await bulk(runtime, "restart", filter=wanted))
    assert counts(restarted) == (3, 2, 0, 1)
    [refusal] = restarted["refusals"]
    assert refusal["reason"] == "payload-mismatch"
    for key in ("k-0/2", "k-1/2"):
        await runtime.until(lambda key=key: has_succeeded(runtime, key))
    # Restarts have the tags of their runs.
    erased = await ended(runtime, await bulk(runtime, "erase", filter=wanted))

    assert counts(erased) == (5, 5, 0, 0)
    assert await keys_of(runtime, "workflowName=w") == ["k-2/2", "kept"]


async def has_succeeded(runtime: Runtime, key: str) -> bool:
    return key in await keys_of(runtime, "status=succeeded&workflowName=w")


async def scenario_a_bulk_leaves_alone_what_it_skips_and_other_bulks(runtime: Runtime) -> None:
    url = runtime.endpoint("/lost", always(410))
    [known, other] = await fail(runtime, url, "k-1", "k-2")
    later = (await runtime.start(document(url, key="k-3", delay=DAY_MS), **ASYNC)).json["id"]
    await runtime.post(f"/runs/{known.removesuffix('-root')}/dismiss", {"note": "known"})
    wanted = {"createdAfter": "2020-01-01T00:00:00Z"}

    dismissed = await ended(runtime, await bulk(runtime, "dismiss", filter=wanted, note="bulk"))
    # Somebody posts below the bulk; that is no page.
    below = {"parent": f"{dismissed['runId']}-root", "kind": "value", "stepName": "x", "payload": 1}
    posted = await runtime.post("/steps", {"workflowName": "w", "idempotencyKey": "v", **below})
    again = await runtime.post(f"/runs/{dismissed['runId']}/restart", {"payload": {"do": "erase"}})
    dry = await bulk(runtime, "erase", filter=wanted, dryRun=True)
    restarted = await ended(runtime, await bulk(runtime, "restart", filter=wanted))

    assert counts(dismissed) == (2, 1, 1, 0)
    notes = [(await runtime.get(f"/steps/{each}")).json["dismissed"]["note"] for each in (known, other)]
    assert notes == ["known", "bulk"]
    assert posted.status == 200
    assert counts((await runtime.get(f"/bulk/{dismissed['runId']}")).json) == (2, 1, 1, 0)
    assert_problem(again, 400, "invalid-request")
    assert "a bulk is not restarted" in again.json["detail"]
    # Two failed runs and the bulk: the one that is live does not count.
    assert dry.json["runs"] == 3
    assert counts(restarted) == (3, 2, 0, 1)
    assert [refusal["reason"] for refusal in restarted["refusals"]] == ["is-bulk"]
    assert (await runtime.get(f"/steps/{later}")).json["status"] == "pending"


async def scenario_a_bulk_has_a_filter_that_can_fit(runtime: Runtime) -> None:
    for do, wanted, named in (
        ("redrive", {}, "give at least one condition"),
        ("redrive", {"tag": []}, "give at least one condition"),
        ("redrive", {"status": "succeeded"}, "filter.status: redrive changes only runs that are failed"),
        ("cancel", {"status": "failed"}, "filter.status: cancel changes only runs that are pending or"),
        ("erase", {"waitsFor": "timer"}, "filter.waitsFor: erase changes only runs that wait for nothing"),
        ("cancel", {"dismissed": False}, "filter: only failed runs have a cause"),
        ("redrive", {"errorKind": "gone"}, "filter.errorKind: use one of "),
        ("redrive", {"cause": "410"}, "filter.cause: use the id of a cause"),
        ("cancel", {"tag": ["env"]}, "filter.tag.0: use name:value"),
        ("cancel", {"createdAfter": "yesterday"}, "filter.createdAfter: use a time"),
        ("cancel", {"responseStatus": 42}, "filter.responseStatus"),
        ("cancel", {"key": "k"}, "filter.key: unknown field"),
        ("delete", {"keyPrefix": "k"}, "do: "),
    ):
        refused = await bulk(runtime, do, filter=wanted)
        assert_problem(refused, 400, "invalid-request")
        assert named in refused.json["detail"], (wanted, refused.json["detail"])
    assert_problem(await bulk(runtime, "cancel"), 400, "invalid-request")
    wrong = await bulk(runtime, "cancel", "with space", filter={"keyPrefix": "k"})
    assert_problem(wrong, 400, "invalid-request")
    url = runtime.endpoint("/ok", answer_ok)
    other = (await runtime.finish(document(url))).json["runId"]
    for run_id in (other, "run_" + 32 * "e", "x"):
        assert_problem(await runtime.get(f"/bulk/{run_id}"), 404, "not-found")


async def scenario_a_bulk_finds_runs_by_their_time(runtime: Runtime) -> None:
    url = runtime.endpoint("/lost", always(410))
    [root_id] = await fail(runtime, url, "k-1")
    created = (await runtime.get(f"/steps/{root_id}")).json["createdAt"]

    for wanted, expected in (
        ({"createdAfter": created}, 1),
        ({"createdAfter": "2020-01-01T01:00:00+01:00", "createdBefore": "2999-01-01T00:00:00Z"}, 1),
        ({"createdBefore": created}, 0),
    ):
        dry = await bulk(runtime, "redrive", filter=wanted, dryRun=True)
        assert (dry.status, dry.json["runs"]) == (200, expected), wanted
    before = {"workflowName": "w", "createdBefore": "2999-01-01T00:00:00Z"}
    done = await ended(runtime, await bulk(runtime, "restart", filter=before))
    assert done["filter"] == before | {"createdBefore": "2999-01-01T00:00:00.000Z"}
    assert counts(done) == (1, 1, 0, 0)


async def scenario_a_bulk_finds_runs_by_what_no_index_knows(runtime: Runtime) -> None:
    gone, broken = runtime.endpoint("/gone", always(410)), runtime.endpoint("/broken", always(503))
    await fail(runtime, gone, "k-1", "k-2")
    [other] = await fail(runtime, broken, "k-3")
    wanted = {"responseStatus": 410}

    dry = await bulk(runtime, "redrive", filter=wanted, dryRun=True)
    done = await ended(runtime, await bulk(runtime, "redrive", filter=wanted))

    assert (dry.json["runs"], dry.json["isAll"]) == (2, True)
    assert counts(done) == (2, 2, 0, 0)
    assert (await runtime.step_in(other, "failed"))["generation"] == 1
