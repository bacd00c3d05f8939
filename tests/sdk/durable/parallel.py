"""Branches side by side (8-1 to 8-22).

8-12: branches have no records of their own, so there is no other nesting.
"""

from collections.abc import Callable
from typing import Any

from sdk.durable.flows import Flow, branch, call, ends, fails, noting, results, runs, serve, start
from sdk.durable.forms import Wrapped
from sdk.world import World

# Why a batch ended, and how many of its calls succeeded, failed and did not start.
Summary = tuple[str, int, int, int]
Policies = dict[str, tuple[list[str], dict[str, Any], Summary]]
POLICIES: Policies = {
    "fail-fast": (["a", "bad1", "c"], {"tolerated_failures": 0}, ("failures_exceeded", 1, 1, 1)),
    "enough": (["a", "b", "c", "d"], {"min_successful": 2}, ("min_successful", 2, 0, 2)),
    "tolerated": (["a", "bad1", "c"], {"tolerated_failures": 1}, ("all_completed", 2, 1, 0)),
    "exceeded": (["bad1", "bad2", "c"], {"tolerated_failures": 1}, ("failures_exceeded", 0, 2, 1)),
    "share": (["bad1", "bad2", "c", "d"], {"tolerated_failures": "25%"}, ("failures_exceeded", 0, 2, 2)),
    "just": (["bad1", "b", "c", "d"], {"tolerated_failures": "25%"}, ("all_completed", 3, 1, 0)),
    "failed": (["bad1", "bad2", "bad3"], {"tolerated_failures": 3}, ("all_completed", 0, 3, 0)),
    "never": (["a", "bad1", "c"], {"min_successful": 3}, ("all_completed", 2, 1, 0)),
    "both": (
        ["bad1", "bad2", "c", "d"],
        {"min_successful": 3, "tolerated_failures": 1},
        ("failures_exceeded", 0, 2, 2),
    ),
}


def steps(world: World) -> list[Any]:
    """Serve the steps of the cases; return the list of the payloads that they were called with."""
    called: list[Any] = []
    give = noting(called)

    def good(payload: str) -> str:
        if give(payload).startswith("bad"):
            raise ValueError(f"no {payload}")
        return payload

    world.step("/give", give)
    world.step("/good", good)
    return called


def summary(batch: Any) -> list[Any]:
    """Why a batch ended, and how many of its calls succeeded, failed and did not start."""
    counts = batch.counts
    return [batch.ended_by, counts["succeeded"], counts["failed"], counts["not_started"]]


def batched(payloads: list[str], told: Callable[[Any], Any], **policy: Any) -> Callable[[Any, Any], Flow]:
    """A workflow that calls the step `good` for each payload, one after the other, and waits after that."""

    def flow(ctx: Any, payload: Any) -> Flow:
        calls = [call(ctx, "/good", each, retry=0) for each in payloads]
        batch = yield ctx.parallel(calls, **{"concurrency": 1, **policy})
        yield ctx.sleep(0.05)
        return told(batch)

    return flow


def case_branches_have_results_in_their_order(world: World) -> None:
    """Steps, branches without a step, names, types, no branch, concurrency, and a batch in a branch."""

    def step(ctx: Any, payload: str) -> Flow:
        return (yield ctx.step("/give", payload))

    def same(value: Any) -> Flow:
        yield from ()
        return value

    def inner(ctx: Any) -> Flow:
        batch = yield ctx.parallel([call(ctx, "/give", "i1"), call(ctx, "/give", "i2")], concurrency=1)
        return batch.results()

    def flow(ctx: Any, payload: Any) -> Flow:
        flows = [step(ctx, "task-2"), same("alpha"), same(42), same({"k": "v"}), inner(ctx)]
        calls = [call(ctx, "/give", "task-1", name="alone"), *[branch(ctx, one) for one in flows]]
        plain = yield ctx.parallel(calls, concurrency=2)
        named = {"first": branch(ctx, step(ctx, "one")), "second": branch(ctx, step(ctx, "two"))}
        trip = yield ctx.parallel(named, concurrency=1, name="named")
        empty = yield ctx.parallel([])
        yield ctx.sleep(0.05)
        names = [item.name for item in trip]
        return [plain.results(), trip.results(), names, empty.results(), empty.ended_by]

    called = steps(world)
    serve(world, "flow", flow, wait=0.03)
    started = start(world, "flow")
    expected = ["task-1", "task-2", "alpha", 42, {"k": "v"}, ["i1", "i2"]]
    told = [expected, ["one", "two"], ["first", "second"], [], "all_completed"]
    assert ends(world, started) == [told] * 2
    assert sorted(called) == sorted(["i1", "i2", "one", "task-1", "task-2", "two"] * 2)
    for run in runs(world, started):
        names = {(step.step_name or "").partition("/")[0] for step in run.steps}
        assert names >= {"alone", "first: ", "second: "}


def alone(payload: str) -> Flow:
    """A branch without a step, which returns or raises by itself."""
    yield from ()
    if payload.startswith("bad"):
        raise ValueError(f"no {payload}")
    return payload


def without_steps(ctx: Any, payload: Any) -> Flow:
    """All policies, with such branches."""
    batches = []
    for payloads, policy, _ in POLICIES.values():
        calls = [branch(ctx, alone(each)) for each in payloads]
        batches.append((yield ctx.parallel(calls, **{"concurrency": 1, **policy})))
    yield ctx.sleep(0.05)
    return [summary(batch) for batch in batches]


def case_branches_end_by_their_policy(world: World) -> None:
    """All policies, each of them replayed after a wait; branches of a step, and without one."""
    called = steps(world)
    serve(world, "without-steps", without_steps, wait=0.03)
    for name, (payloads, policy, _) in POLICIES.items():
        serve(world, name, batched(payloads, summary, **policy), wait=0.03)
    for name, (payloads, _, expected) in POLICIES.items():
        assert results(world, name) == [[*expected]] * 2, name
        assert sorted(called) == sorted(2 * payloads[: len(payloads) - expected[3]]), name
        called.clear()
    assert results(world, "without-steps") == [[[*expected] for _, _, expected in POLICIES.values()]] * 2


def case_a_batch_tells_of_its_branches(world: World) -> None:
    """Whether one has failed, which ones, and their errors."""

    def told(batch: Any) -> list[Any]:
        return [
            bool(batch.failed),
            [item.result for item in batch.succeeded],
            [item.index for item in batch.failed],
            [item.error.reason for item in batch.failed],
        ]

    steps(world)
    serve(world, "flow", batched(["a", "bad1", "c"], told, tolerated_failures=1), wait=0.03)
    assert results(world, "flow") == [[True, ["a", "c"], [1], ["ValueError: no bad1"]]] * 2


def case_a_batch_raises_the_error_of_its_first_failure(world: World) -> None:
    """The results of a batch with a failure; no branch at a time is refused."""
    called = steps(world)
    serve(world, "refused", batched(["a"], summary, concurrency=0))
    serve(world, "raised", batched(["bad1", "b"], lambda batch: batch.results(), tolerated_failures=0))
    fails(world, "refused", "concurrency")
    assert called == []
    fails(world, "raised", "no bad1")


def case_a_branch_goes_on_where_it_was_suspended(world: World) -> None:
    """What is done is not done again when a wait of another branch is over."""

    def quick(ctx: Any) -> Flow:
        return (yield ctx.step("/give", "r0"))

    def waits(ctx: Any) -> Flow:
        yield ctx.sleep(0.2)
        return (yield ctx.step("/give", "r1"))

    def flow(ctx: Any, payload: Any) -> Flow:
        flows = [quick(ctx), waits(ctx)]
        batch = yield ctx.parallel([branch(ctx, one) for one in flows], concurrency=1)
        return batch.results()

    called = steps(world)
    serve(world, "flow", flow, wait=0.03)
    started = start(world, "flow")
    assert ends(world, started) == [["r0", "r1"]] * 2
    assert sorted(called) == ["r0", "r0", "r1", "r1"]
    assert [run.root.attempts > 1 for run in runs(world, started)] == [True] * 2


def case_results_of_branches_have_a_form_of_their_own(world: World) -> None:
    """What a branch keeps has a form of its own, and a replay reads the value from it."""

    def same(ctx: Any, text: str) -> Flow:
        return (yield ctx.run("text", lambda: text, returns=Wrapped))

    def flow(ctx: Any, payload: Any) -> Flow:
        calls = [call(ctx, "/wrap", "x", result=Wrapped), branch(ctx, same(ctx, "y"))]
        batch = yield ctx.parallel(calls, concurrency=1)
        yield ctx.sleep(0.05)
        return batch.results()

    def wrap(text: str) -> Wrapped:
        return text

    world.step("/wrap", wrap)
    serve(world, "flow", flow, wait=0.03)
    started = start(world, "flow")
    assert ends(world, started) == [["x", "y"]] * 2
    for run in runs(world, started):
        kept = [step.response for step in run.steps if step.kind != "timer"]
        assert kept == [{"wrapped": "x"}, {"wrapped": "y"}]
