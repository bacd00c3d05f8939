"""What an endpoint says about its code: its build, and how many results its handler did not use."""

from typing import Any

from atomic.testing import EndpointCall, EndpointReply
from scenarios.runtime import Runtime, always
from scenarios.starts import document

PLAIN = {"build": None, "unusedResults": 0}


async def scenario_an_endpoint_that_says_no_build_has_none(runtime: Runtime) -> None:
    reply = await runtime.finish(document(runtime.endpoint("/plain", always(200))))

    step = await step_of(runtime, reply.json["id"])

    assert said(step) == PLAIN
    assert list(map(said, step["attemptLog"])) == [PLAIN]


async def scenario_each_attempt_shows_the_build_that_answered_it(runtime: Runtime) -> None:
    """One fails, one waits for its step, and the last one finishes without asking for that step."""

    async def handler(call: EndpointCall) -> EndpointReply:
        if call.attempt == 1:
            return EndpointReply(status=503, headers={"Atomic-Build": "abc-1"})
        if call.attempt == 2:
            timer = {"workflowName": "w", "kind": "timer", "stepName": "nap", "idempotencyKey": "k-1"}
            posted = await runtime.start(
                {**timer, "delay": runtime.ms(50), "parent": call.json["stepId"]}, Prefer="respond-async"
            )
            waiting_for = {"Atomic-Waiting-For": posted.json["id"]}
            return EndpointReply(status=202, headers={"Atomic-Build": "abc-2", **waiting_for})
        return EndpointReply(headers={"Atomic-Build": "abc-3", "Atomic-Unused-Results": "1"})

    reply = await runtime.finish(document(runtime.endpoint("/handler", handler)))

    run = (await runtime.get(f"/runs/{reply.json['runId']}")).json
    assert reply.status == 200
    assert [attempt["outcome"] for attempt in run["root"]["attemptLog"]] == [
        "retryable", "suspended", "succeeded",
    ]  # fmt: skip
    assert list(map(said, run["root"]["attemptLog"])) == [
        {"build": "abc-1", "unusedResults": 0},
        {"build": "abc-2", "unusedResults": 0},
        {"build": "abc-3", "unusedResults": 1},
    ]
    assert said(run["root"]) == {"build": "abc-3", "unusedResults": 1}
    assert [said(step) for step in run["steps"]] == [PLAIN]


async def scenario_what_is_no_build_and_no_number_of_results_harms_no_attempt(runtime: Runtime) -> None:
    cases: list[tuple[str, str, str | None, int]] = [
        ("b" * 10_000, "-1", "b" * 64, 0),
        ("two words", "abc", None, 0),
        ("", str(10**30), None, 0),
        ("café", "1.5", None, 0),
        ("<b>&\"'", "007", "<b>&\"'", 7),
        ("abc", "0", "abc", 0),
    ]
    for number, (build, unused, shown, count) in enumerate(cases):
        headers = {"Atomic_Build": build, "Atomic_Unused_Results": unused}
        url = runtime.endpoint(f"/{number}", always(200, number, **headers))
        reply = await runtime.finish(document(url, f"k-{number}"))
        assert (reply.status, reply.json["response"], reply.json["attempts"]) == (200, number, 1)
        step = await step_of(runtime, reply.json["id"])
        assert said(step) == {"build": shown, "unusedResults": count}, number


async def step_of(runtime: Runtime, step_id: str) -> dict[str, Any]:
    """The whole step."""
    step: dict[str, Any] = (await runtime.get(f"/steps/{step_id}")).json
    return step


def said(of: dict[str, Any]) -> dict[str, Any]:
    """What an attempt, or a step, shows of it."""
    return {name: of[name] for name in PLAIN}
