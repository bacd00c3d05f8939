"""How endpoints have answered lately, and what a client uses of its limits."""

from typing import Any

from scenarios.runtime import Runtime, always, answer_ok
from scenarios.starts import assert_problem, document, retries


async def scenario_endpoints_are_told_with_their_failures(runtime: Runtime) -> None:
    good, bad = runtime.endpoint("/health/good", answer_ok), runtime.endpoint("/health/bad", always(410))
    for number in range(3):
        await runtime.finish(document(good, key=f"good-{number}"))
    await runtime.finish(document(bad, key="bad", retry=retries(0)))
    reply = await runtime.get("/endpoints")
    features = (await runtime.request("GET", "/health")).json["features"]
    if "endpoints" not in features:
        assert_problem(reply, 404, "not-found")
        assert "GET /health" in reply.json["detail"]
        return
    assert reply.status == 200

    async def are_counted() -> bool:
        found: list[dict[str, Any]] = (await runtime.get("/endpoints")).json["endpoints"]
        [origin] = [each for each in found if good.startswith(each["origin"].removesuffix(":80"))]
        assert origin["durationMsP50"] is not None
        assert origin["durationMsP50"] <= origin["durationMsP95"]
        assert (origin["slowed"], origin["waiting"], origin["rests"]) == (False, 0, 0)
        return (origin["attempts"], origin["failed"]) == (4, 1)

    await runtime.until(are_counted)
    assert_problem(await runtime.get("/endpoints?host=x"), 400, "invalid-request")


async def scenario_a_client_without_limits_is_told_so(runtime: Runtime) -> None:
    reply = await runtime.get("/limits")
    none = {"limit": None, "used": None, "countedAt": None}
    assert (reply.status, reply.json) == (
        200,
        {"startsPerSecond": none, "liveSteps": none, "storedBytes": none},
    )
