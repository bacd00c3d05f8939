"""Tags of runs: what a start takes, where they are shown, and how runs are found by them."""

from typing import Any
from urllib.parse import quote

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.continuing import Rounds
from scenarios.cases.reading import pages_of
from scenarios.runtime import Runtime, always, answer_ok, failing_first
from scenarios.starts import assert_problem, document, retries

TAGS = {"customer": "c-17", "env": "prod: é 🙂"}


async def found(runtime: Runtime, *tags: str, **wanted: str) -> list[str]:
    """The sorted keys of the runs with these tags."""
    given = [("tag", tag) for tag in tags] + list(wanted.items())
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given)
    return sorted(run["idempotencyKey"] for run in (await runtime.get(f"/runs?{query}")).json["runs"])


async def scenario_runs_are_found_by_their_tags(runtime: Runtime) -> None:
    url, lost = runtime.endpoint("/ok", answer_ok), runtime.endpoint("/lost", always(410))
    await runtime.start(document(url, key="plain"))
    for number in range(4):
        at = lost if number == 3 else url
        tags = {"customer": f"c-{number % 2}", "env": "prod"}
        await runtime.start(document(at, key=f"k-{number}", workflowName=f"w{number // 2}", tags=tags))

    assert await found(runtime, "env:prod") == ["k-0", "k-1", "k-2", "k-3"]
    assert await found(runtime, "customer:c-1") == ["k-1", "k-3"]
    assert await found(runtime, "customer:c-1", "env:prod", "env:prod") == ["k-1", "k-3"]
    assert await found(runtime, "customer:c-1", "customer:c-0") == []
    assert await found(runtime, "customer:c-1", status="failed") == ["k-3"]
    assert await found(runtime, "customer:c-1", status="running") == []
    assert await found(runtime, "env:prod", workflowName="w0") == ["k-0", "k-1"]
    assert await found(runtime, "env:prod", keyPrefix="k-2") == ["k-2"]
    for other in ("customer:c", "customer:c-17", "Customer:c-1", "customer:C-1", "env:prod%", "e:nv:prod"):
        assert await found(runtime, other) == [], other
    path = f"/{runtime.client}/runs?tag=env%3Aprod&tag=customer%3Ac-1&limit=1"
    pages = await pages_of(runtime, path, "runs")
    assert sorted(run["idempotencyKey"] for page in pages for run in page) == ["k-1", "k-3"]


async def scenario_tags_are_shown_and_never_change(runtime: Runtime) -> None:
    url = runtime.endpoint("/ok", answer_ok)
    first = await runtime.start(document(url, tags=TAGS))
    again = await runtime.start(document(url, tags={"customer": "c-18"}))
    plain = await runtime.start(document(url, key="plain"))
    none = await runtime.start(document(url, key="none", tags={}))

    assert (again.status, again.json["id"]) == (200, first.json["id"])
    for shown in (first.json, again.json, (await runtime.get("/runs?tag=customer:c-17")).json["runs"][0]):
        assert shown["tags"] == TAGS
    run = (await runtime.get(f"/runs/{first.json['runId']}")).json
    assert (run["run"]["tags"], run["root"]["tags"]) == (TAGS, TAGS)
    assert not any("tags" in reply.json for reply in (plain, none))
    assert await found(runtime, "customer:c-18") == []
    assert await found(runtime, f"env:{TAGS['env']}") == ["k-1"]


async def scenario_a_child_run_has_the_tags_that_its_step_gives(runtime: Runtime) -> None:
    child = runtime.endpoint("/child", answer_ok)
    posted: list[ApiReply] = []

    async def workflow(call: EndpointCall) -> EndpointReply:
        members: dict[str, Any] = {"parent": call.json["stepId"], "kind": "run", "stepName": "child"}
        run = {"workflowName": "child", "idempotencyKey": "child-1"}
        posted.append(await runtime.start(document(child, run=run, tags={"of": "child"}, **members)))
        return EndpointReply(status=200 if posted[-1].status == 200 else 503)

    await runtime.finish(document(runtime.endpoint("/parent", workflow), tags={"of": "parent"}))

    assert await found(runtime, "of:child") == ["child-1"]
    assert await found(runtime, "of:parent") == ["k-1"]
    assert posted[-1].json["tags"] == {"of": "child"}


async def scenario_a_run_that_goes_on_keeps_its_tags(runtime: Runtime) -> None:
    rounds = Rounds(runtime)
    await runtime.finish(document(rounds.url, payload=1, tags={"customer": "c-17"}))
    await rounds.last.entered.wait()
    rounds.last.open()
    assert await found(runtime, "customer:c-17") == ["k-1", "k-1@0"]


async def scenario_a_step_takes_no_tags(runtime: Runtime) -> None:
    url, refused = runtime.endpoint("/ok", answer_ok), list[ApiReply]()

    async def workflow(call: EndpointCall) -> EndpointReply:
        post = document(url, parent=call.json["stepId"], tags={"a": "b"})
        timer = {"workflowName": "w", "idempotencyKey": "t", "stepName": "t", "parent": call.json["stepId"]}
        refused.append(await runtime.start(post))
        refused.append(await runtime.start({**timer, "kind": "timer", "delay": 1, "tags": {"a": "b"}}))
        # Without a parent it is a step under the root, as it was posted, and no run.
        refused.append(await runtime.start(document(url, stepName="plain", tags={"a": "b"})))
        return EndpointReply()

    await runtime.finish(document(runtime.endpoint("/root", workflow)))

    step, timer, plain = refused[:3]
    for reply in (step, timer):
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"] == "tags"
    assert (plain.status, "tags" in plain.json) == (200, False)
    assert await found(runtime, "a:b") == []


async def scenario_bad_tags_are_told_field_and_cure(runtime: Runtime) -> None:
    url = runtime.endpoint("/ok", answer_ok)
    nine = {f"n{number}": "v" for number in range(9)}
    names = [{name: "v"} for name in ("", "a:b", "a b", "é", "n" * 65)]
    values = [{"n": value} for value in ("", " v", "v" * 129, "a\nb", 7, None)]
    for bad in (*names, *values, nine, ["customer:c-17"], "c-17"):
        reply = await runtime.start(document(url, tags=bad))
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"].startswith("tags"), bad
    longest = {"n" * 64: "v" * 128, **{f"n.{number}_-": "v" for number in range(7)}}
    assert (await runtime.start(document(url, tags=longest))).status == 200
    assert await found(runtime, f"{'n' * 64}:{'v' * 128}") == ["k-1"]
    for query in ("tag=customer", "tag=:v", "tag=a%20b:v", "tag=a:%20v", "tag=a:b&tag=c"):
        reply = await runtime.get(f"/runs?{query}")
        assert_problem(reply, 400, "invalid-request")
        assert reply.json["errors"][0]["field"] == "tag"
    many = "&".join(f"tag=n{number}:v" for number in range(9))
    assert_problem(await runtime.get(f"/runs?{many}"), 400, "invalid-request")


async def scenario_dead_letters_are_found_and_redriven_by_the_tags_of_their_run(runtime: Runtime) -> None:
    lost = runtime.endpoint("/lost", failing_first(4, 410))
    posted: list[ApiReply] = []

    async def workflow(call: EndpointCall) -> EndpointReply:
        # The tags of a link are those of the run that it starts, and not of its own.
        own = document(lost, parent=call.json["stepId"], stepName="below", retry=retries(0))
        posted.append(await runtime.start(own))
        return EndpointReply(status=200 if posted[-1].status == 200 else 503)

    root = runtime.endpoint("/root", workflow)
    for number, customer in enumerate(("c-1", "c-2", "c-1")):
        tags = {"customer": customer, "env": "prod"}
        await runtime.start(document(lost, key=f"k-{number}", tags=tags, retry=retries(0)))
    await runtime.start(document(root, key="above", tags={"customer": "c-1"}, retry=retries(0)))
    await runtime.start(document(runtime.endpoint("/gone", always(410)), key="plain", retry=retries(0)))

    async def letters(query: str) -> list[str]:
        path = f"/{runtime.client}/dead-letters?{query}&limit=1"
        pages = await pages_of(runtime, path, "deadLetters")
        return sorted(
            f"{each['idempotencyKey']}{each['stepName'] or ''}" for page in pages for each in page
        )

    assert await letters("tag=customer%3Ac-1") == ["above", "k-0", "k-1below", "k-2"]
    assert await letters("tag=customer%3Ac-1&tag=env%3Aprod") == ["k-0", "k-2"]
    assert await letters("tag=customer%3Ac-1&keyPrefix=above") == ["above"]
    assert await letters("tag=customer%3Ac-1&errorKind=endpoint_answered&responseStatus=410") == [
        "k-0",
        "k-1below",
        "k-2",
    ]
    assert await letters("tag=customer%3Ac-3") == []

    tagged = {"filter": {"tag": ["customer:c-1", "env:prod"]}}
    redriven = await runtime.post("/redrive", tagged)
    assert (redriven.status, redriven.json["redriven"]) == (200, 2)
    assert (redriven.json["more"], redriven.json["next"]) == (False, None)
    for step_id in redriven.json["steps"]:
        await runtime.step_in(step_id, "succeeded")
    assert await letters("tag=customer%3Ac-1") == ["above", "k-1below"]
    again = await runtime.post("/redrive", {**tagged, "cursor": "?"})
    assert_problem(again, 400, "invalid-request")
    assert again.json["detail"].startswith("cursor: ")
    for bad in ("customer", ":", "a:"):
        refused = await runtime.get(f"/dead-letters?tag={quote(bad)}")
        assert_problem(refused, 400, "invalid-request")
        assert "tag: " in refused.json["detail"]
        refused = await runtime.post("/redrive", {"filter": {"tag": [bad]}})
        assert_problem(refused, 400, "invalid-request")
        assert "filter.tag.0: use name:value" in refused.json["detail"]
