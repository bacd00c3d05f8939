"""Runs that a handler starts: what is posted, and what a replay posts again."""

import asyncio
import json
from typing import Any

import pytest

from atomic.protocol import keys, problems
from atomic.sdk import AsyncContext, Context, StepCancelledError, StepFailedError
from atomic.sdk._calls.child_runs import next_key
from atomic.sdk._calls.identity import step_id
from atomic.sdk._calls.results import fingerprint
from sdk.durable.flows import Flow, awaited, run
from sdk.in_process import DAY, InProcess, in_process
from sdk.scripted import NOBODY, REFUSED, answer, called, called_async, done, refused
from sdk.test_hooks import Recorder

both = pytest.mark.parametrize("variant", ["def", "async"])
CHILD: Any = {"workflow_name": "child"}
OPEN = answer(202, id="run_1-x")
DIFFERS = refused(
    problems.PAYLOAD_MISMATCH, "Another payload.", lastErrorKind="child_differs", childRunId="run_2"
)
CANCELLED = refused(problems.STEP_CANCELLED, "Cancelled.")


def call_once(variant: str, flow: Any, answers: Any, **options: Any) -> Any:
    """Call a workflow once; its status, headers and body, and what it posted."""

    def blocking(ctx: Context) -> Any:
        return run(flow(ctx))

    async def asynchronous(ctx: AsyncContext) -> Any:
        return await awaited(flow(ctx))

    if variant == "def":
        response, posts = called(blocking, answers, **options)
    else:
        response, posts = asyncio.run(called_async(asynchronous, answers, **options))
    body = json.loads(response.body) if response.body else None
    return response.status, dict(response.headers), body, posts


def known(document: dict[str, Any], status: str, response: Any = None) -> dict[str, Any]:
    """A step among the results of a handler."""
    end = {"finishedAt": "2026-01-01T00:00:00.000Z", "response": response} if status == "succeeded" else {}
    identity = step_id("dev", "run_1", document)
    return {
        "id": identity,
        "kind": "run",
        "status": status,
        "fingerprint": fingerprint(document["payload"]),
        **end,
    }


def link_of(variant: str, make: Any) -> dict[str, Any]:
    """The document that a call posts."""
    posted: list[dict[str, Any]] = []

    def note(document: dict[str, Any]) -> Any:
        posted.append(document)
        return done()

    call_once(variant, lambda ctx: iter([make(ctx)]), {"invoice": note})
    [document] = posted
    return document


@both
def test_what_a_link_says(variant: str) -> None:
    document = link_of(
        variant,
        lambda ctx: ctx.run_workflow(
            "invoice",
            {"n": 1},
            key=7,
            name="bill",
            on_cancel="keep",
            retry=3,
            deadline=60,
            attempt_timeout=5,
            on_lost="fail",
            **CHILD,
        ),
    )
    assert document.pop("retry")["count"] == 3
    assert document.pop("idempotencyKey").startswith("k/7-")
    assert document.pop("timeout") > 0
    assert document == {
        "kind": "run",
        "workflowName": "w",
        "parent": "run_1-root",
        "stepName": "bill",
        "run": {"workflowName": "child", "idempotencyKey": "7"},
        "stepInvokeUrl": "https://app.test/invoice",
        "payload": {"n": 1},
        "onCancel": "keep",
        "deadline": 60_000,
        "attemptTimeout": 5_000,
        "onLost": "fail",
    }


@both
def test_calls_without_a_key_start_runs_of_their_own(variant: str) -> None:
    made: list[str] = []

    def flow(ctx: Any) -> Flow:
        for name in (None, None, "a", "b"):
            handle = yield ctx.start_run("invoice", name=name, **CHILD)
            made.append(handle.run_id)
        handle = yield ctx.start_run("invoice", workflow_name="other")
        made.append(handle.run_id)
        for _ in range(2):
            handle = yield ctx.start_run("invoice", key="same", **CHILD)
            made.append(handle.run_id)

    *_, posts = call_once(variant, flow, {"invoice": OPEN})
    assert (len(posts), len(made), len(set(made))) == (7, 7, 6)
    first = made[:]
    made.clear()
    call_once(variant, flow, {"invoice": OPEN})
    assert made == first
    assert made[-1] == keys.run_id("dev", "child", "same")


@both
@pytest.mark.parametrize("status", ["succeeded", "waiting", "cancelled"])
def test_a_run_that_is_known_is_not_posted_again(variant: str, status: str) -> None:
    told: list[str] = []

    def flow(ctx: Any) -> Flow:
        handle = yield ctx.start_run("invoice", 5, key="a", **CHILD)
        told.append(handle.run_id)
        try:
            return (yield handle.result())
        except StepCancelledError:
            return "cancelled"

    document = link_of(variant, lambda ctx: ctx.run_workflow("invoice", 5, key="a", **CHILD))
    page = answer(200, parent="run_1-root", next=None, steps=[known(document, status, 9)])
    answers = {"results": page, "invoice": CANCELLED}
    code, headers, body, posts = call_once(variant, flow, answers, attempt=2, token="t")
    assert told == [keys.run_id("dev", "child", "a")]
    if status == "waiting":
        assert (code, headers["atomic-waiting-for"]) == (202, known(document, status)["id"])
    else:
        assert (code, body) == (200, 9 if status == "succeeded" else "cancelled")
    # Only the error of a cancelled one is not known.
    assert posts == (["results", "invoice"] if status == "cancelled" else ["results"])


@both
def test_a_run_of_another_payload_is_posted_for_its_error(variant: str) -> None:
    def flow(ctx: Any) -> Flow:
        yield ctx.start_run("invoice", 6, key="a", **CHILD)

    document = link_of(variant, lambda ctx: ctx.run_workflow("invoice", 5, key="a", **CHILD))
    page = answer(200, parent="run_1-root", next=None, steps=[known(document, "succeeded", 9)])
    mismatch = refused(problems.PAYLOAD_MISMATCH, "Other payload.")
    answers = {"results": page, "invoice": mismatch}
    code, headers, body, posts = call_once(variant, flow, answers, attempt=2, token="t")
    assert (code, headers["atomic-no-retry"], posts) == (500, "true", ["results", "invoice"])
    assert body["detail"].startswith("Other payload. A workflow must post the same payloads")


@both
def test_where_the_errors_of_a_start_are_raised(variant: str) -> None:
    def flow(ctx: Any) -> Flow:
        told: list[Any] = []
        for step in ("differs", "failed", "cancelled"):
            handle = None
            try:
                handle = yield ctx.start_run(step, **CHILD)
                yield handle.result()
            except (StepFailedError, StepCancelledError) as error:
                told.append([type(error).__name__, handle is not None])
        return told

    failed = refused(
        problems.STEP_FAILED, "It failed.", lastErrorKind="child_failed", childRunId="run_2", id="run_1-x"
    )
    answers = {"differs": DIFFERS, "failed": failed, "cancelled": CANCELLED}
    code, _, body, posts = call_once(variant, flow, answers)
    assert code == 200
    assert body == [["RunDiffersError", False], ["RunFailedError", True], ["StepCancelledError", True]]
    assert posts == ["differs", "failed", "failed", "cancelled", "cancelled"]


@both
@pytest.mark.parametrize("trouble", [REFUSED, NOBODY])
def test_a_refused_start_suspends(variant: str, trouble: Any) -> None:
    def flow(ctx: Any) -> Flow:
        yield ctx.start_run("invoice", **CHILD)

    code, headers, *_ = call_once(variant, flow, {"invoice": trouble})
    assert (code, headers["atomic-refused"]) == (503, "true")


@both
def test_hooks_see_runs(variant: str) -> None:
    def flow(ctx: Any) -> Flow:
        handle = yield ctx.start_run("invoice", **CHILD)
        yield handle.result()
        yield ctx.continue_as(1)

    hooks = Recorder()
    code, headers, *_ = call_once(variant, flow, {"invoice": done(), "main": OPEN}, hooks=[hooks])
    assert code == 202
    assert headers == {"atomic-continue-as": keys.root_of(keys.run_id("dev", "w", "k/2"))}
    assert hooks.told[1:] == ["run child", "- succeeded", "run child", "- succeeded", "- succeeded"]


@pytest.mark.parametrize(
    ("key", "is_next", "following"),
    [
        ("k", False, "k/2"),
        ("k/2", True, "k/3"),
        ("k/99", True, "k/100"),
        ("report/2026/11", False, "report/2026/11/2"),
        ("named", True, "named/2"),
        (253 * "k", False, 253 * "k" + "/2"),
        (253 * "k" + "/9", True, 200 * "k" + "-39fd7d1ae02482e0/10"),
        (200 * "k" + "-39fd7d1ae02482e0/10", True, 200 * "k" + "-39fd7d1ae02482e0/11"),
        (255 * "k", False, 200 * "k" + "-f03765e8ed8d091e/2"),
    ],
)
def test_the_key_of_the_next_run(key: str, is_next: bool, following: str) -> None:
    assert next_key(key, is_next=is_next) == following


def test_a_handler_that_waits_for_runs_posts_each_of_them_once() -> None:
    async def play(app: InProcess) -> list[dict[str, Any]]:
        async def main(ctx: AsyncContext) -> Any:
            handles = [await ctx.start_run("slow", n, key=n, **CHILD) for n in range(20)]
            await ctx.sleep(DAY)
            early = await ctx.run_workflow("slow", "after", key="after", **CHILD)
            return [*[await handle.result() for handle in handles], early]

        app.workflow(main)
        app.step("slow", seconds=15)
        app.effects.clear()
        assert await app.start() == [*range(20), "after"]
        return [post for post in app.client.posts if post.get("kind") == "run"]

    posts = in_process(play)
    assert len(posts) == 21


def test_a_loop_of_200_rounds_has_no_growing_history() -> None:
    async def play(app: InProcess) -> tuple[Any, int, list[int]]:
        async def main(ctx: AsyncContext, left: int) -> Any:
            await ctx.step("tick", left)
            await ctx.sleep(20)
            if not left:
                return ctx.idempotency_key
            return await ctx.continue_as(left - 1)

        app.workflow(main)
        app.step("tick")
        first = await app.client.start("w", "https://app.test/main", 199, key="k", timeout=0)
        last = await app.client.wait(first.id, timeout=None)
        sizes = {len((await app.client.get(run.run_id)).steps) for run in await app.client.runs(limit=201)}
        return last.response, len(app.effects), sorted(sizes)

    assert in_process(play) == ("k/200", 200, [2])
