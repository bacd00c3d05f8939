"""What a handler reads of its earlier posts, when it is used, and how many requests that leaves."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomic.protocol import strict_json
from atomic.sdk import AsyncContext, Client, Context
from atomic.sdk._calls.identity import step_id
from atomic.sdk._calls.results import (
    Results,
    ResultsQuery,
    fingerprint,
    is_posted,
    read_one,
    read_results,
    steps_target,
)
from atomic.sdk._wire.transport import ApiTarget, HttpRequest, HttpResponse, connection, drive
from atomic.sdk._wire.values import jsonable
from atomic.sdk.errors import NotFinishedError, SerializationError, UnavailableError
from sdk.in_process import DAY, InProcess, InProcessClient, in_process
from sdk.scripted import GOES_ON, NOBODY, answer, called, called_async, done

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PARENT = "run_" + "1" * 32 + "-root"
QUERY = ResultsQuery("me", "run_" + "1" * 32, PARENT, "2.token")
HTTP = {"payload": {"b": 1, "a": [1.5, "ü"]}}
KNOWN: dict[str, Any] = {
    "id": "x",
    "kind": "http",
    "status": "succeeded",
    "fingerprint": fingerprint(HTTP["payload"]),
    "finishedAt": "2026-01-01T00:00:00.000Z",
    "response": 7,
}

TOO_DEEP = HttpResponse(status=200, body=b'{"parent":' + b"[" * 200_000, at_s=0.0, jitter=0.5)


@given(VALUES)
def test_a_fingerprint_is_the_servers(value: Any) -> None:
    try:
        written = jsonable(value)
    except SerializationError:
        return
    received = strict_json.parse_json(json.dumps(written))
    assert fingerprint(written) == strict_json.fingerprint(strict_json.canonical_json(received))


@pytest.mark.parametrize(
    ("server", "given", "used"),
    [
        ("http://a.test", "http://a.test/me/steps", "http://a.test/me/steps"),
        ("http://a.test", "http://a.test:80/me/steps", "http://a.test:80/me/steps"),
        ("https://a.test/stage", "https://A.test/stage/me/steps", "https://A.test/stage/me/steps"),
        ("http://a.test", "", "/me/steps"),
        ("http://a.test", "https://a.test/me/steps", "/me/steps"),
        ("http://a.test", "http://b.test/me/steps", "/me/steps"),
        ("http://a.test", "http://a.test:81/me/steps", "/me/steps"),
        ("http://a.test", "http://a.test.evil/me/steps", "/me/steps"),
        ("http://a.test", "http://key@a.test/me/steps", "/me/steps"),
        ("http://a.test", "http://a.test/you/steps", "/me/steps"),
        ("http://a.test", "http://a.test/me/steps?x=1", "/me/steps"),
        ("http://a.test", "http://[", "/me/steps"),
    ],
)
def test_steps_go_to_the_configured_server_alone(server: str, given: str, used: str) -> None:
    assert steps_target(ApiTarget(server, "me", "key"), given) == used


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://steps.test/me/steps", "https://steps.test/me/steps"),
        ("https://a.test/me/steps", "https://steps.test/me/steps"),
        ("https://b.test/me/steps", "https://steps.test/me/steps"),
        ("", "https://steps.test/me/steps"),
    ],
)
def test_steps_go_to_the_url_that_is_configured_for_them(
    given: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOMIC_STEPS_URL", "https://steps.test/")
    assert steps_target(connection("https://a.test", "me", "key"), given) == used


def test_a_url_for_steps_that_is_none_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOMIC_STEPS_URL", "steps.test")
    with pytest.raises(ValueError, match=r"ATOMIC_STEPS_URL 'steps.test' is not the URL of a server"):
        connection(None, None, None)


class TestRules:
    def test_a_success_with_the_same_payload_is_used(self) -> None:
        found = of(KNOWN).outcome("x", [HTTP])
        assert found is not None
        assert (found.response, found.ended_at, found.was_replayed) == (7, KNOWN["finishedAt"], True)

    @pytest.mark.parametrize(
        "change",
        [
            {"fingerprint": "0" * 64},
            {"status": "failed"},
            {"status": "cancelled"},
            {"status": "unheard-of"},
            {"status": 1},
            {"id": 5},
            {"finishedAt": None},
            {"finishedAt": "yesterday"},
            {"response": ...},
            {"fingerprint": ...},
        ],
    )
    def test_anything_else_is_posted(self, change: dict[str, Any]) -> None:
        step = {name: value for name, value in {**KNOWN, **change}.items() if value is not ...}
        assert of(step).outcome("x", [HTTP]) is None

    def test_a_value_is_its_identity_alone(self) -> None:
        value = {**KNOWN, "kind": "value", "fingerprint": "0" * 64}
        found = of(value).outcome("x", [{"kind": "value"}])
        assert found is not None
        assert found.response == 7

    @pytest.mark.parametrize("status", ["pending", "running", "retrying", "waiting"])
    def test_a_live_step_is_waited_for_without_a_post(self, status: str) -> None:
        results = of({**KNOWN, "status": status})
        with pytest.raises(NotFinishedError):
            results.outcome("x", [HTTP])
        assert results.outcome("x", [HTTP], changes_live=True) is None
        assert results.outcome("x", [{"payload": "other"}]) is None

    def test_what_nobody_asked_for_is_counted_but_events_are_not(self) -> None:
        results = of(KNOWN, {**KNOWN, "id": "y"}, {**KNOWN, "id": "e", "kind": "event"})
        results.outcome("x", [HTTP])
        assert results.unused == 1

    @pytest.mark.parametrize("page", [None, [], {}, {"parent": "other", "steps": [KNOWN], "next": None}])
    def test_a_page_that_is_none_tells_nothing(self, page: Any) -> None:
        results = Results()
        assert results.add(page, QUERY) is None
        assert (results.is_complete, results.unused) == (False, 0)


def of(*steps: Any) -> Results:
    results = Results()
    assert results.add({"parent": PARENT, "steps": list(steps), "next": None}, QUERY) is None
    return results


class TestReading:
    def test_pages_are_read_to_the_end(self) -> None:
        results, asked = read(page("a", "b", more="b"), page("c"))
        assert (results.unused, results.is_complete) == (3, True)
        assert ["after=b" in target for target in asked] == [False, True]

    @pytest.mark.parametrize(
        "second",
        [NOBODY, answer(403), answer(200), answer(503), answer(200, parent=PARENT, steps=7), TOO_DEEP],
    )
    def test_what_is_read_before_a_fault_stays(self, second: HttpResponse) -> None:
        results, _ = read(page("a", "b", more="b"), second)
        assert (results.unused, results.is_complete) == (2, False)

    def test_a_cursor_that_does_not_move_ends_it(self) -> None:
        results, asked = read(page("a", more="a"), page("b", more="a"))
        assert (len(asked), results.is_complete) == (2, False)

    def test_one_is_read_or_is_not_there(self) -> None:
        value = {**KNOWN, "kind": "value"}
        found = drive(read_one(QUERY, "x", {"kind": "value"}, 0.0), lambda _: steps(value), lambda _: None)
        assert found is not None
        assert found.response == 7
        assert (
            drive(read_one(QUERY, "x", {"kind": "value"}, 0.0), lambda _: steps(), lambda _: None) is None
        )
        assert (
            drive(read_one(QUERY, "x", {"kind": "value"}, 0.0), lambda _: answer(403), lambda _: None)
            is None
        )

    @pytest.mark.parametrize(
        "told",
        [answer(403), answer(200), answer(200, parent="other", steps=[]), TOO_DEEP],
    )
    def test_a_step_is_posted_unless_an_answer_says_that_it_is_not(self, told: HttpResponse) -> None:
        """A step that is wrongly taken for new may have had an effect, which nothing would undo."""
        known = Results(is_complete=False)
        asked = [
            drive(is_posted(QUERY, known, "x", 0.0), lambda _, each=each: each, lambda _: None)
            for each in (steps(), told, steps(KNOWN), steps())
        ]
        assert asked == [False, True, True, True]
        assert (known.has("x"), known.is_complete) == (True, False)

    def test_a_server_that_is_busy_is_no_answer_for_one(self) -> None:
        busy = HttpResponse(
            status=503, body=b"", at_s=time.monotonic(), jitter=0.5, headers={"retry-after": "9"}
        )
        with pytest.raises(UnavailableError):
            drive(read_one(QUERY, "x", {"kind": "value"}, 0.0), lambda _: busy, lambda _: None)


def page(*ids: str, more: str | None = None) -> HttpResponse:
    return answer(200, parent=PARENT, steps=[{**KNOWN, "id": each} for each in ids], next=more)


def steps(*known: Any) -> HttpResponse:
    return answer(200, parent=PARENT, steps=list(known), next=None)


def read(*answers: HttpResponse) -> tuple[Results, list[str]]:
    """The results of these answers, the last of which comes again and again, and what was asked for."""
    asked: list[str] = []

    def send(request: HttpRequest) -> HttpResponse:
        assert request.headers == {"atomic-attempt-token": "2.token"}
        asked.append(request.target)
        return answers[min(len(asked), len(answers)) - 1]

    return drive(read_results(QUERY, 0.0), send, lambda _: None), asked


class TestHandlers:
    """In `def` and `async def`."""

    NONE = answer(200, parent="run_1-root", steps=[], next=None)

    @pytest.mark.parametrize("variant", ["def", "async"])
    @pytest.mark.parametrize(("attempt", "token", "reads"), [(1, "1.t", 0), (2, "2.t", 1), (2, "", 0)])
    def test_results_are_read_once_and_at_a_later_attempt_alone(
        self, variant: str, attempt: int, token: str, reads: int
    ) -> None:
        answers = {"results": self.NONE, "one": done(1), "two": done(2)}
        response, asked = call(two_steps(variant), answers, attempt=attempt, token=token)
        assert (json.loads(response.body), asked.count("results")) == ([1, 2], reads)

    @pytest.mark.parametrize("variant", ["def", "async"])
    @pytest.mark.parametrize("fault", [NOBODY, answer(403), answer(200), answer(500)])
    def test_without_results_everything_is_posted(self, variant: str, fault: HttpResponse) -> None:
        answers = {"results": fault, "one": done(1), "two": GOES_ON}
        response, asked = call(two_steps(variant), answers, attempt=2, token="2.t")
        assert (response.status, asked[-2:]) == (202, ["one", "two"])

    @pytest.mark.parametrize("variant", ["def", "async"])
    @pytest.mark.parametrize("was_posted", [True, False])
    def test_an_undone_saga_makes_sure_that_what_it_lacks_was_not_posted(
        self, variant: str, was_posted: bool
    ) -> None:
        """The results may lag behind what an earlier attempt has posted. That must be undone, too."""
        ids: dict[str, str] = {}

        def posted(document: dict[str, Any]) -> HttpResponse:
            name = document.get("stepInvokeUrl", "").rpartition("/")[2] or document["stepName"]
            ids[name] = step_id(Client().client_id, "run_1", document)
            return done(document["payload"])

        first = {"one": posted, "undo of saga": posted, "unone": NOBODY}
        call(undone(variant), first, token="1.t", attempt=1)
        record = {**KNOWN, "id": ids["undo of saga"], "kind": "value", "response": "because"}
        one = [{**KNOWN, "id": ids["one"]}] if was_posted else []
        answers = {
            **first,
            "results": answer(200, parent="run_1-root", steps=[record], next=None),
            "result": answer(200, parent="run_1-root", steps=one, next=None),
            "unone": done(),
        }
        _, asked = call(undone(variant), answers, token="2.t", attempt=2)
        assert asked == ["results", "result", *(["one", "unone"] if was_posted else [])]


def undone(variant: str) -> Any:
    def blocking(ctx: Context) -> Any:
        with ctx.saga() as saga:
            saga.step("one", undo="unone")
            raise ConnectionError("no luck")

    async def asynchronous(ctx: AsyncContext) -> Any:
        async with ctx.saga() as saga:
            await saga.step("one", undo="unone")
            raise ConnectionError("no luck")

    return blocking if variant == "def" else asynchronous


def two_steps(variant: str) -> Any:
    def blocking(ctx: Context) -> Any:
        return [ctx.step("one"), ctx.step("two")]

    async def asynchronous(ctx: AsyncContext) -> Any:
        return [await ctx.step("one"), await ctx.step("two")]

    return blocking if variant == "def" else asynchronous


def call(handler: Any, answers: Any, **options: Any) -> Any:
    if asyncio.iscoroutinefunction(handler):
        return asyncio.run(called_async(handler, answers, **options))
    return called(handler, answers, **options)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """The requests of handlers by the last part of their path, while the context lasts."""
    requests: Counter[str] = Counter()
    send = InProcessClient._send

    async def counting(self: InProcessClient, request: HttpRequest) -> HttpResponse:
        name = request.target.partition("?")[0].rpartition("/")[2]
        if name in {"steps", "results"}:
            requests[name] += 1
        return await send(self, request)

    InProcessClient._send = counting  # type: ignore[method-assign]
    try:
        yield requests
    finally:
        InProcessClient._send = send  # type: ignore[method-assign]


class TestCounts:
    def test_200_sleeps_in_a_loop(self) -> None:
        async def main(ctx: AsyncContext) -> str:
            for _ in range(200):
                await ctx.sleep(3600)
            return "awake"

        async def played(app: InProcess) -> Any:
            app.workflow(main)
            return await app.start()

        with counted() as requests:
            assert in_process(played) == "awake"
        assert requests.total() <= 420, requests
        print(f"200 sleeps: {dict(requests)}")

    def test_160_steps_side_by_side_that_are_not_waited_for(self) -> None:
        async def main(ctx: AsyncContext) -> int:
            return len(await asyncio.gather(*[ctx.step(f"s{number}", number) for number in range(160)]))

        async def played(app: InProcess) -> Any:
            for number in range(160):
                app.step(f"s{number}", 0.5 + number / 10)
            app.workflow(main, wait=0)
            return await app.start()

        with counted() as requests:
            assert in_process(played) == 160
        assert requests.total() <= 500, requests
        print(f"160 suspended steps: {dict(requests)}")

    @pytest.mark.parametrize("kind", ["steps", "values", "steps side by side"])
    def test_a_handler_with_1000_finished_steps_is_called_again(self, kind: str) -> None:
        lasted_s: list[float] = []

        async def main(ctx: AsyncContext) -> int:
            began_s = time.process_time()
            if kind == "steps side by side":
                await asyncio.gather(*[ctx.step("echo", number) for number in range(999)])
            else:
                for number in range(999):
                    value = ctx.step("echo", number) if kind == "steps" else ctx.run("n", lambda: number)  # noqa: B023
                    assert await value == number
            lasted_s.append(time.process_time() - began_s)
            await ctx.sleep(3600)
            return len(lasted_s)

        async def played(app: InProcess) -> Any:
            app.step("echo")
            app.workflow(main)
            return await app.start()

        with counted() as requests:
            assert in_process(played) == 2
        assert requests == {"steps": 1000, "results": 1}
        print(
            f"re-entry at 1,000 finished {kind}: 1 read, {1000 * lasted_s[1]:.0f} ms of CPU, the "
            "server's included"
        )


def test_an_opened_event_is_not_posted_again_for_its_id() -> None:
    async def main(ctx: AsyncContext) -> Any:
        event_id = await ctx.open_event("paid")
        await ctx.sleep(3600)
        return [event_id, await ctx.event("paid", deadline=60)]

    async def played(app: InProcess) -> Any:
        app.workflow(main)
        started = asyncio.ensure_future(app.start())
        await asyncio.sleep(1800)
        [event] = [step for step in (await app.client.get(run_of(app))).steps if step.kind == "event"]
        await app.client.complete(event.id, 5)
        return [await started, event.id, len([p for p in app.client.posts if p.get("kind") == "event"])]

    (event_id, result), known_id, posts = in_process(played)
    assert (event_id, result, posts) == (known_id, 5, 1)


def run_of(app: InProcess) -> str:
    return str(next(post["parent"] for post in app.client.posts if "parent" in post).rpartition("-")[0])


def test_a_run_whose_code_changed_shows_the_builds_and_what_was_not_used() -> None:
    async def before(ctx: AsyncContext) -> int:
        await ctx.step("echo", "of code that is gone")
        await ctx.sleep(DAY)
        return 0

    async def after(ctx: AsyncContext) -> int:
        await ctx.sleep(DAY)
        return 1

    async def played(app: InProcess) -> Any:
        app.step("echo")
        app.workflow(before, build="abc-1")
        started = asyncio.ensure_future(app.start())
        await asyncio.sleep(DAY / 2)
        app.workflow(after, build="abc-2")
        return await started, (await app.client.get(run_of(app))).root

    response, root = in_process(played)
    assert (response, root.build, root.unused_results) == (1, "abc-2", 1)
    *earlier, last = root.attempt_log
    assert {(each.outcome, each.build, each.unused_results) for each in earlier} == {
        ("suspended", "abc-1", 0)
    }
    assert (last.outcome, last.build, last.unused_results) == ("succeeded", "abc-2", 1)
