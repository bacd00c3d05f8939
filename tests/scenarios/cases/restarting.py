"""Runs that have ended and are started again, as other runs."""

import asyncio
from typing import Any

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.child_runs import Starter, run_id_of
from scenarios.cases.continuing import Rounds
from scenarios.cases.large_texts import text_of
from scenarios.cases.start_times import ASYNC, time_of
from scenarios.runtime import Runtime, always, answer_ok, failing_first
from scenarios.starts import Gate, assert_problem, document, retries

DAY_MS = 86_400_000


async def restart(runtime: Runtime, step_id: str, **members: Any) -> ApiReply:
    return await runtime.post(f"/runs/{run_id_of(step_id)}/restart", members or None)


async def failed(runtime: Runtime, url: str, key: str = "k-1", **members: Any) -> str:
    """A run that has failed; the id of its root."""
    root_id: str = (await runtime.finish(document(url, key=key, **members))).json["id"]
    await runtime.step_in(root_id, "failed")
    return root_id


async def scenario_a_run_is_started_again_with_the_same_payload(runtime: Runtime) -> None:
    url = runtime.endpoint("/work", failing_first(1, 410, "done"))
    members = {
        "retry": {**retries(2), "on": "410,5xx", "never": "410"},
        "deadline": DAY_MS,
        "attemptTimeout": 7_000,
        "onLost": "fail",
    }
    first = await failed(runtime, url, payload={"a": 1}, **members)

    again = await restart(runtime, first)

    assert again.status in {200, 202}
    new = again.json["id"]
    assert again.headers["location"] == f"/{runtime.client}/steps/{new}"
    assert (again.json["idempotencyKey"], again.json["restartOf"]) == ("k-1/2", run_id_of(first))
    ended = await runtime.step_in(new, "succeeded")
    before = (await runtime.get(f"/steps/{first}")).json
    assert (before["status"], "restartOf" in before) == ("failed", False)
    for name in (
        "workflowName",
        "stepInvokeUrl",
        "payload",
        "retry",
        "deadline",
        "attemptTimeout",
        "onLost",
    ):
        assert ended[name] == before[name], name
    assert (ended["generation"], ended["response"]) == (1, "done")
    assert [seen.call.headers["idempotency-key"] for seen in runtime.calls(url)] == ["k-1", "k-1/2"]


async def scenario_a_repeated_restart_makes_one_run(runtime: Runtime) -> None:
    gate = Gate(then="done")
    url = runtime.endpoint("/once", gate)
    gate.open()
    first = (await runtime.finish(document(url, payload=1))).json["id"]

    both = await asyncio.gather(restart(runtime, first), restart(runtime, first))

    assert {reply.json["id"] for reply in both} == {both[0].json["id"]}
    second = both[0].json["id"]
    await runtime.step_in(second, "succeeded")
    late = await restart(runtime, first)
    assert (late.status, late.json["id"]) == (200, second)
    assert late.headers["idempotency-replayed"] == "true"
    # The restart of a restart counts on.
    third = await restart(runtime, second)
    assert (third.json["idempotencyKey"], third.json["restartOf"]) == ("k-1/3", run_id_of(second))
    await runtime.step_in(third.json["id"], "succeeded")
    assert len(runtime.calls(url)) == 3


async def scenario_a_run_is_started_again_with_another_payload_and_key(runtime: Runtime) -> None:
    url = runtime.endpoint("/edited", answer_ok)
    first = (await runtime.finish(document(url, payload={"n": 1}))).json["id"]

    edited = await restart(runtime, first, payload={"n": 2})
    null = await restart(runtime, first, payload=None, key="k-null")
    other = await restart(runtime, first, payload={"n": 3})

    assert (edited.json["idempotencyKey"], null.json["idempotencyKey"]) == ("k-1/2", "k-null")
    for reply, payload in ((edited, {"n": 2}), (null, None)):
        assert (await runtime.step_in(reply.json["id"], "succeeded"))["payload"] == payload
    # It was restarted otherwise before: the answer says as what, and what to do.
    assert_problem(other, 422, "payload-mismatch")
    assert other.json["id"] == edited.json["id"]
    assert f"Restart the run {edited.json['runId']} in its place" in other.json["detail"]
    assert [seen.call.payload for seen in runtime.calls(url)].count({"n": 3}) == 0


async def scenario_a_run_is_started_again_at_another_url(runtime: Runtime) -> None:
    gone, repaired = runtime.endpoint("/gone", always(410)), runtime.endpoint("/repaired", answer_ok)
    first = await failed(runtime, gone, payload={"n": 1})
    run_id = run_id_of(first)

    again = await restart(runtime, first, url=repaired)

    assert (again.json["idempotencyKey"], again.json["restartOf"]) == ("k-1/2", run_id)
    ended = await runtime.step_in(again.json["id"], "succeeded")
    assert (ended["stepInvokeUrl"], ended["payload"]) == (repaired, {"n": 1})
    assert (await runtime.get(f"/steps/{first}")).json["stepInvokeUrl"] == gone
    repeated = await restart(runtime, first, url=repaired)
    assert (repeated.json["id"], repeated.headers["idempotency-replayed"]) == (again.json["id"], "true")
    # The restart of the restart is at its URL.
    third = await runtime.step_in((await restart(runtime, again.json["id"])).json["id"], "succeeded")
    assert (third["idempotencyKey"], third["stepInvokeUrl"]) == ("k-1/3", repaired)
    # It was restarted elsewhere before: the answer says as what, and what to do.
    for members in ({}, {"url": f"{repaired}?other"}):
        elsewhere = await restart(runtime, first, **members)
        assert_problem(elsewhere, 409, "run-exists")
        assert elsewhere.json["runId"] == again.json["runId"]
        assert (
            "a restart of this run at another URL. Restart that run in its place"
            in elsewhere.json["detail"]
        )
    other = await restart(runtime, first, url=repaired, payload={"n": 2}, key="k-other")
    assert (await runtime.step_in(other.json["id"], "succeeded"))["payload"] == {"n": 2}
    for url in ("/relative", "ftp://host/x", "", 7):
        refused = await restart(runtime, first, url=url)
        assert_problem(refused, 400, "invalid-request")
        assert refused.json["detail"].startswith("url: ")
    assert len(runtime.calls(gone)) == 1


async def scenario_a_restart_does_not_take_a_key_that_is_used(runtime: Runtime) -> None:
    url, elsewhere = runtime.endpoint("/used", answer_ok), runtime.endpoint("/elsewhere", answer_ok)
    first = (await runtime.finish(document(url, payload=1))).json["id"]
    used = (await runtime.finish(document(url, key="k-1/2", payload=2))).json["runId"]
    await runtime.finish(document(elsewhere, key="same", payload=1))

    mismatch = await restart(runtime, first)
    exists = await restart(runtime, first, key="same")
    itself = await restart(runtime, first, key="k-1")
    numbered = await restart(runtime, f"{used}-root")

    assert_problem(mismatch, 422, "payload-mismatch")
    assert "It is no restart. Send another `key` than 'k-1/2'." in mismatch.json["detail"]
    for reply in (exists, itself):
        assert_problem(reply, 409, "run-exists")
        assert "is no restart of this run. Send another `key`." in reply.json["detail"]
    # The number in the key of a run that is no restart is part of its name.
    assert numbered.json["idempotencyKey"] == "k-1/2/2"
    wrong = await restart(runtime, first, key="with space")
    assert_problem(wrong, 400, "invalid-request")
    unknown = await restart(runtime, first, again=True)
    assert "unknown field; known are payload, key, url" in unknown.json["detail"]


async def scenario_only_a_run_that_has_ended_is_restarted(runtime: Runtime) -> None:
    gate = Gate()
    url = runtime.endpoint("/live", gate)
    root = (await runtime.start(document(url), **ASYNC)).json["id"]

    refused = await restart(runtime, root)

    assert_problem(refused, 409, "run-live")
    assert refused.json["runId"] == run_id_of(root)
    assert f"/runs/{run_id_of(root)}/cancel" in refused.json["detail"]
    await runtime.post(f"/runs/{run_id_of(root)}/cancel")
    again = await restart(runtime, root)
    gate.open()
    await runtime.step_in(again.json["id"], "succeeded")
    assert_problem(await restart(runtime, f"run_{'0' * 32}-root"), 404, "not-found")


async def scenario_a_run_that_went_on_as_others_has_ended_with_the_last_one(runtime: Runtime) -> None:
    rounds = Rounds(runtime)
    first = (await runtime.finish(document(rounds.url, payload=1))).json["id"]
    await rounds.last.entered.wait()

    refused = await restart(runtime, first)

    assert_problem(refused, 409, "run-live")
    last = refused.json["runId"]
    assert last != run_id_of(first)
    rounds.last.open()
    await runtime.step_in(f"{last}-root", "succeeded")
    # It begins by itself, and belongs to no chain.
    again = (await restart(runtime, f"{last}-root")).json
    assert "continuedFrom" not in again
    assert (await runtime.step_in(again["id"], "succeeded"))["payload"] == 0


async def scenario_a_restart_begins_at_once_whatever_the_start_said(runtime: Runtime) -> None:
    url = runtime.endpoint("/times", always(410))
    begin, late = await time_of(runtime), runtime.ms(500)
    timed = await failed(runtime, url, "timed", startAt=begin, startBy=late)
    delayed = await failed(runtime, url, "delayed", delay=runtime.ms(50), startBy=late)
    burst = await failed(runtime, url, "burst", debounce={"key": "b", "quiet": runtime.ms(50)})
    held = (await runtime.start(document(url, key="held", paused=True), **ASYNC)).json
    await runtime.post(f"/runs/{held['runId']}/cancel")

    # Then the times of their starts are over.
    await runtime.finish(document(runtime.endpoint("/later", answer_ok), key="later", delay=2 * late))
    for root in (timed, delayed, burst, held["id"]):
        again = (await restart(runtime, root)).json["id"]
        ended = await runtime.step_in(again, "failed")
        # It was called, and not refused for a time that is over.
        assert (ended["responseStatus"], ended["attempts"]) == (410, 1), root
        assert (ended["delay"], ended["startAt"], ended["startBy"]) == (0, None, None)
        assert not {"debounce", "paused"} & ended.keys()


async def scenario_a_restart_waits_for_no_other_run_of_its_singleton(runtime: Runtime) -> None:
    gate = Gate()
    bad, slow = runtime.endpoint("/bad", always(410)), runtime.endpoint("/slow", gate)
    for on_busy in ("attach", "skip", "cancel"):
        single = {"key": on_busy, "onBusy": on_busy}
        first = await failed(runtime, bad, f"{on_busy}-1", singleton=single)
        held = (await runtime.start(document(slow, key=f"{on_busy}-2", singleton=single), **ASYNC)).json

        busy = await restart(runtime, first)

        assert_problem(busy, 409, "busy")
        assert busy.json["runId"] == held["runId"]
        assert (await runtime.get(f"/steps/{held['id']}")).json["status"] != "cancelled"
        await runtime.post(f"/runs/{held['runId']}/cancel")
        again = (await restart(runtime, first)).json
        assert (await runtime.step_in(again["id"], "failed"))["singleton"] == single
        assert (await restart(runtime, first)).json["id"] == again["id"]
    gate.open()


async def scenario_the_restart_of_a_child_run_belongs_to_no_workflow(runtime: Runtime) -> None:
    child = runtime.endpoint("/child", failing_first(1, 410, "done"))
    starter = Starter(runtime, child)
    root = (await runtime.finish(document(starter.url))).json["id"]
    await runtime.step_in(root, "failed")

    again = await restart(runtime, starter.child_root)

    assert (again.json["idempotencyKey"], "startedBy" in again.json) == ("child/2", False)
    await runtime.step_in(again.json["id"], "succeeded")
    assert (await runtime.get(f"/steps/{starter.link_id}")).json["status"] == "failed"
    assert (await runtime.get(f"/steps/{root}")).json["status"] == "failed"


async def scenario_a_large_payload_is_taken_along(runtime: Runtime) -> None:
    seen: list[Any] = []

    async def take(call: EndpointCall) -> EndpointReply:
        seen.append(call.payload)
        return EndpointReply(json=len(seen))

    url, large = runtime.endpoint("/taken", take), text_of(100_000)
    first = (await runtime.finish(document(url, payload=large))).json["id"]

    again = (await restart(runtime, first)).json["id"]

    await runtime.step_in(again, "succeeded")
    assert seen == [large, large]


async def scenario_an_encrypted_payload_is_not_copied(runtime: Runtime) -> None:
    url = runtime.endpoint("/sealed", answer_ok)
    sealed = {"$enc": {"v": 1, "k": "a", "n": "AAAA", "c": "AAAA"}}
    first = (await runtime.finish(document(url, payload=sealed))).json["id"]

    refused = await restart(runtime, first)
    again = await restart(runtime, first, payload=sealed)

    assert_problem(refused, 400, "invalid-request")
    assert refused.json["errors"][0]["field"] == "payload"
    await runtime.step_in(again.json["id"], "succeeded")


async def scenario_a_long_key_is_shortened(runtime: Runtime) -> None:
    url, long = runtime.endpoint("/long", answer_ok), "k" * 254
    keys = set()
    for key in (long, f"{long}x"):
        root = (await runtime.finish(document(url, key=key))).json["id"]
        for number in (2, 3):
            root = (await restart(runtime, root)).json["id"]
            ended = await runtime.step_in(root, "succeeded")
            assert ended["idempotencyKey"].startswith("k" * 200)
            assert ended["idempotencyKey"].endswith(f"/{number}")
            keys.add(ended["idempotencyKey"])
    assert len(keys) == 4
