"""The modules that compute what is drawn, called directly, without a page."""

import itertools
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page

from scenarios.embedded_runtime import AtomicServer

START_MS = 1_700_000_000_000
Ask = Callable[..., Any]


@pytest.fixture
def ask(page: Page, server: AtomicServer) -> Ask:
    """A function that calls a function of a module of `core`."""
    page.goto(f"{server.url}/dashboard")

    def call(module: str, function: str, *arguments: Any) -> Any:
        script = "async ([url, name, given]) => (await import(url))[name](...given)"
        return page.evaluate(script, [f"/static/core/{module}.js", function, list(arguments)])

    return call


def at(offset_ms: int) -> str:
    return datetime.fromtimestamp((START_MS + offset_ms) / 1000, UTC).isoformat().replace("+00:00", "Z")


def an_attempt(number: int, start: int, end: int | None, outcome: str | None, generation: int = 1) -> Any:
    ended = None if end is None else at(end)
    return {
        "number": number, "generation": generation, "outcome": outcome,
        "startedAt": at(start), "endedAt": ended,
    }  # fmt: skip


def a_step(status: str, attempts: list[Any], **more: Any) -> dict[str, Any]:
    step = {
        "id": "s",
        "status": status,
        "kind": "http",
        "createdAt": at(0),
        "finishedAt": None,
        "dueAt": None,
    }
    return {**step, "attemptLog": attempts, **more}


def segments(ask: Ask, step: Any, now: int = 10_000) -> list[tuple[str, int, int]]:
    found = ask("timeline", "segmentsOf", step, START_MS + now)
    return [(part["kind"], part["from"] - START_MS, part["to"] - START_MS) for part in found]


def test_segments_for_attempts_and_for_the_time_between_them(ask: Ask) -> None:
    tried = [an_attempt(1, 0, 100, "retryable"), an_attempt(2, 1100, 1200, "suspended")]
    assert segments(ask, a_step("waiting", tried)) == [
        ("retryable", 0, 100), ("backoff", 100, 1100), ("suspended", 1100, 1200), ("waiting", 1200, 10_000)
    ]  # fmt: skip
    redriven = [an_attempt(1, 200, 300, "permanent"), an_attempt(2, 900, None, None, generation=2)]
    assert segments(ask, a_step("running", redriven)) == [
        ("queued", 0, 200), ("permanent", 200, 300), ("dead", 300, 900), ("running", 900, 10_000)
    ]  # fmt: skip
    failed = [an_attempt(60, 5000, 5100, "retryable"), an_attempt(61, 6000, 6100, "retryable")]
    assert segments(ask, a_step("failed", failed, finishedAt=at(6100))) == [
        ("backoff", 0, 5000), ("retryable", 5000, 5100), ("backoff", 5100, 6000), ("permanent", 6000, 6100)
    ]  # fmt: skip
    assert segments(ask, a_step("retrying", tried[:1], dueAt=at(30_000)))[-1] == ("backoff", 100, 30_000)
    assert segments(ask, a_step("pending", [], kind="event")) == [("waiting", 0, 10_000)]
    cancelled = a_step("cancelled", tried[:1], finishedAt=at(5000))
    assert segments(ask, cancelled) == [("retryable", 0, 100), ("backoff", 100, 5000)]
    waited = a_step("cancelled", tried, finishedAt=at(5000))
    assert segments(ask, waited)[-1] == ("waiting", 1200, 5000)


def test_what_a_step_does_next(ask: Ask) -> None:
    due = {"dueAt": at(60_000)}
    steps = [
        a_step("retrying", [], **due), a_step("pending", [], kind="timer", **due),
        a_step("pending", [], **due), a_step("pending", [], kind="event", **due),
        a_step("running", [], **due),
    ]  # fmt: skip
    said = [ask("timeline", "nextOf", step) for step in steps]
    assert [each and each["verb"] for each in said] == ["retry", "wakes", "starts", None, None]
    span = ask("timeline", "rangeOf", steps[1], [], START_MS + 40_000)
    assert span["to"] - START_MS > 50_000


def test_a_cancelled_run_says_nothing_about_durations(ask: Ask) -> None:
    run = {"createdAt": at(0), "progress": {"steps": {}, "attempts": 1}}
    runs = [
        {**run, "status": "succeeded", "finishedAt": at(100)},
        {**run, "status": "cancelled", "finishedAt": at(90_000)},
    ]
    assert ask("run-statistics", "summaryOf", runs)["p99"] == 100


def test_a_line_is_not_drawn_over_a_gap(page: Page, server: AtomicServer) -> None:
    page.goto(f"{server.url}/dashboard")
    drawn = page.evaluate(
        """async () => {
          const { Chart } = await import("/static/components/chart.js");
          const { html, render } = await import("/static/vendor/preact-htm.js");
          const buckets = [1, 2, null, 4].map((value, at) => ({ from: at, to: at + 1, runs: 1, value }));
          const series = [{ name: "s", kind: "line", tone: "calm", value: (bucket) => bucket.value }];
          const place = document.createElement("div");
          const given = { title: "t", headline: "", buckets, series, show: String };
          render(html`<${Chart} ...${given} />`, place);
          return place.querySelector(".line.series-calm").getAttribute("d");
        }"""
    )
    assert [part.count("L") for part in drawn.split("M")[1:]] == [1, 0]


def test_fills_stand_out_from_every_ground() -> None:
    tokens = files("atomic.dashboard").joinpath("static/styles/tokens.css").read_text()
    pairs = dict(re.findall(r"--([a-z-]+): light-dark\((#\w{6}, #\w{6})\)", tokens))
    for theme in (0, 1):
        colour = {name: _luminance(pair.split(", ")[theme]) for name, pair in pairs.items()}
        for fill in (
            "good-fill",
            "bad-fill",
            "warn-fill",
            "busy-fill",
            "calm-fill",
            "hatch",
            "line-strong",
        ):
            for ground in ("ground", "surface", "raised", "chosen"):
                light, dark = sorted((colour[fill], colour[ground]), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 3, (theme, fill, ground)


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_segments_meet_and_never_overlap(ask: Ask) -> None:
    dice = random.Random(seed := 11)
    print(f"seed={seed}")
    for _ in range(30):
        moment, tried = dice.randrange(0, 500), []
        for number in range(1, dice.randrange(1, 12)):
            end = moment + dice.randrange(1, 400)
            tried.append(
                an_attempt(number, moment, end, dice.choice(["retryable", "suspended", "no_answer"]))
            )
            moment = end + dice.randrange(0, 900)
        found = segments(ask, a_step("waiting", tried), now=60_000)
        assert all(before[2] == after[1] for before, after in itertools.pairwise(found))
        assert [kind for kind, _, _ in found if kind in {"retryable", "suspended", "no_answer"}] == [
            attempt["outcome"] for attempt in tried
        ]


def test_quantiles_are_the_nearest_rank(ask: Ask) -> None:
    numbers = list(range(1, 101))
    assert [ask("run-statistics", "quantile", numbers, share) for share in (0.5, 0.95, 0.99, 1)] == [
        50,
        95,
        99,
        100,
    ]
    assert ask("run-statistics", "quantile", [7], 0.5) == 7
    assert ask("run-statistics", "quantile", [], 0.5) is None


def test_every_run_is_in_one_bucket(ask: Ask) -> None:
    dice = random.Random(seed := 12)
    print(f"seed={seed}")
    for span_ms in (1, 5_000, 3_600_000, 86_400_000, 40 * 86_400_000):
        runs = [
            {
                "runId": str(number), "workflowName": "w",
                "status": dice.choice(["succeeded", "failed", "running"]),
                "createdAt": at(-dice.randrange(span_ms)), "finishedAt": None,
                "progress": {"steps": {"succeeded": 2}, "attempts": 5},
            }
            for number in range(200)
        ]  # fmt: skip
        buckets = ask("run-statistics", "bucketsOf", runs, START_MS)
        assert 1 <= len(buckets) <= 38
        assert sum(bucket["runs"] for bucket in buckets) == 200
        assert sum(bucket["retries"] for bucket in buckets) == 400
        assert buckets[-1]["from"] <= START_MS < buckets[-1]["to"]
        assert all(one["to"] == two["from"] for one, two in itertools.pairwise(buckets))


def test_durations_in_words(ask: Ask) -> None:
    said = {
        0: "0 ms", 999: "999 ms", 1000: "1.00 s", 12_340: "12.3 s", 60_000: "1 min", 123_000: "2 min 3 s",
        3_900_000: "1 h 5 min", 270_000_000: "3 d 3 h",
    }  # fmt: skip
    assert {value: ask("format", "duration", value) for value in said} == said


def test_retry_policies_in_words(ask: Ask) -> None:
    policy = {
        "count": 5, "backOff": 1000, "strategy": "linear", "factor": 2, "maxBackOff": 60_000,
        "jitter": "none", "on": "5xx", "never": "501",
    }  # fmt: skip
    assert ask("format", "retryInWords", policy, 1) == (
        "Retried up to 5 times, first after 1.00 s, then 1.00 s longer each time, at most 1 min. "
        "Only answers 5xx are retried. Answers 501 are never retried. 1 retry used."
    )
    assert "No retries" in ask("format", "retryInWords", {**policy, "count": 0}, 0)
    assert "at once" in ask("format", "retryInWords", {**policy, "backOff": 0}, 0)


def test_unknown_enumeration_values_are_shown_as_they_are(ask: Ask) -> None:
    policy = {
        "count": 5, "backOff": 1000, "strategy": "unheard", "factor": 2, "maxBackOff": 60_000,
        "jitter": "unheard", "on": None, "never": None,
    }  # fmt: skip
    said = (
        "Retried up to 5 times, by the strategy “unheard” with a back-off of 1.00 s, at most 1 min. "
        "Each delay is drawn by the jitter “unheard”. 0 retries used."
    )
    assert ask("format", "retryInWords", policy, 0) == said
    for known in ("exponential", "linear", "fixed"):
        assert known not in ask("format", "retryInWords", {**policy, "strategy": known}, 0)

    tried = [an_attempt(1, 0, 100, "unheard"), an_attempt(2, 5000, 5100, "retryable")]
    found = ask("timeline", "segmentsOf", a_step("running", tried), START_MS + 6000)
    assert [(part["kind"], part.get("label")) for part in found][:2] == [
        ("unheard", None), ("backoff", "Between two attempts"),
    ]  # fmt: skip
    ended = ask("timeline", "segmentsOf", a_step("unheard", tried, finishedAt=at(9000)), START_MS + 9000)
    assert ended[-1]["label"] == "Until it ended"
    odd = a_step("pending", [], kind="unheard", dueAt=at(60_000))
    assert ask("timeline", "nextOf", odd)["name"] == "Due"
    assert ask("timeline", "segmentsOf", odd, START_MS + 10_000)[-1]["label"] == "Waiting"
    assert ask("timeline", "isLive", {"status": "unheard", "finishedAt": None})
    assert not ask("timeline", "isLive", {"status": "unheard", "finishedAt": at(0)})
