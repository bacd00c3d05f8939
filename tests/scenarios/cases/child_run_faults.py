"""Child runs that fail for reasons of their links, and their redrive."""

from atomic.testing import ApiReply, EndpointCall, EndpointReply
from scenarios.cases.child_runs import Repaired, link
from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import assert_problem, document


async def scenario_runs_that_failed_by_a_cycle_are_redriven(runtime: Runtime) -> None:
    """`a` starts `b`, whose link to `a` fails, and both runs fail."""
    for redriven in ("a", "b"):
        repaired, roots = Repaired(), dict[str, str]()

        async def answer(
            call: EndpointCall,
            repaired: Repaired = repaired,
            roots: dict[str, str] = roots,
            redriven: str = redriven,
        ) -> EndpointReply:
            key = call.json["idempotencyKey"].partition("-")[0]
            roots[key] = call.json["stepId"]
            if repaired.works:
                return EndpointReply(json=key)
            wanted = f"{'b' if key == 'a' else 'a'}-{redriven}"
            told = await runtime.start(
                link(call, call.json["payload"], wanted, payload=call.json["payload"])
            )
            return EndpointReply(status=500, json=told.json, headers={"Atomic-No-Retry": "true"})

        url = runtime.endpoint(f"/cycle-{redriven}", answer)
        start = {**document(url, key=f"a-{redriven}", payload=url), "workflowName": "c"}
        assert_problem(await runtime.finish(start), 424, "step-failed")
        repaired.works = True

        assert (await runtime.post(f"/steps/{roots[redriven]}/redrive")).status == 200

        for root_id in roots.values():
            assert (await runtime.step_in(root_id, "succeeded"))["generation"] == 2


async def scenario_a_redrive_leaves_runs_alone_that_a_link_may_not_have(runtime: Runtime) -> None:
    """The run exists with another payload and has failed. It is somebody else's."""
    url = runtime.endpoint("/broken", always(500))
    other = await runtime.finish({**document(url, key="child"), "workflowName": "c", "payload": 1})

    async def insists(call: EndpointCall) -> EndpointReply:
        told = await runtime.start(link(call, url, payload=2))
        return EndpointReply(status=500, json=told.json, headers={"Atomic-No-Retry": "true"})

    failed = await runtime.finish(document(runtime.endpoint("/insists", insists)))
    assert failed.json["response"]["type"].endswith("payload-mismatch")

    assert (await runtime.post(f"/steps/{failed.json['id']}/redrive")).status == 200

    await runtime.step_in(failed.json["id"], "failed")
    again = (await runtime.get(f"/steps/{failed.json['response']['id']}")).json
    assert (again["generation"], again["errorKind"]) == (2, "child_differs")
    assert (await runtime.get(f"/steps/{other.json['id']}")).json["generation"] == 1


async def scenario_a_link_that_waits_is_another_one_than_a_detached_one(runtime: Runtime) -> None:
    """A newer build of the handler may wait for a run that an older one has started and left alone."""
    url = runtime.endpoint("/child", answer_ok)
    told: list[ApiReply] = []

    async def both(call: EndpointCall) -> EndpointReply:
        told.append(await runtime.start(link(call, url, detached=True)))
        told.append(await runtime.start(link(call, url)))
        return EndpointReply(json=1)

    await runtime.finish(document(runtime.endpoint("/both", both)))
    alone, waiting = (reply.json["response"] for reply in told)
    assert alone == {"id": f"{told[0].json['childRunId']}-root", "runId": told[0].json["childRunId"]}
    assert waiting != alone
    assert len(runtime.calls(url)) == 1
