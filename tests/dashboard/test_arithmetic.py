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
    extent = ask("axis", "extentOf", {"root": steps[1], "steps": []})
    axis = ask("axis", "axisOf", extent, START_MS + 20_000)
    assert axis["to"] - START_MS > 25_000


def test_a_long_gap_is_drawn_short_and_times_keep_their_order(ask: Ask) -> None:
    tries = [an_attempt(1, 0, 100, "retryable"), an_attempt(2, 3_600_000, 3_600_100, "succeeded")]
    run = {"root": a_step("succeeded", tries, finishedAt=at(3_600_100)), "steps": []}
    axis = ask("axis", "axisOf", ask("axis", "extentOf", run), START_MS + 9_000_000)
    [gap] = axis["breaks"]
    assert (gap["from"] - START_MS, gap["to"] - START_MS) == (100, 3_600_000)
    assert axis["span"] < 1000
    offsets = [
        ask("axis", "offsetOf", axis, START_MS + time) for time in (0, 50, 100, 3_600_000, 3_600_100)
    ]
    assert offsets == sorted(offsets)
    assert offsets[:3] == [0, 50, 100]
    ordinary = {"root": a_step("succeeded", tries[:1], finishedAt=at(20_000)), "steps": []}
    axis = ask("axis", "axisOf", ask("axis", "extentOf", ordinary), START_MS + 9_000_000)
    assert axis["breaks"] == []


def test_a_call_that_goes_on_ends_a_gap(ask: Ask) -> None:
    tries = [an_attempt(1, 0, 100, "retryable"), an_attempt(2, 3_600_000, None, None)]
    run = {"root": a_step("running", tries), "steps": [a_step("succeeded", [], finishedAt=at(50))]}
    axis = ask("axis", "axisOf", ask("axis", "extentOf", run), START_MS + 3_601_000)
    assert [(gap["from"] - START_MS, gap["to"] - START_MS, gap["isOpen"]) for gap in axis["breaks"]] == [
        (100, 3_600_000, False)
    ]


def an_axis(start: float, end: float, *breaks: tuple[int, int, int]) -> dict[str, Any]:
    gaps = [
        {"from": START_MS + begin, "to": START_MS + stop, "drawn": drawn} for begin, stop, drawn in breaks
    ]
    span = end - start - sum(stop - begin - drawn for begin, stop, drawn in breaks)
    axis = {"from": START_MS + start, "to": START_MS + end, "until": START_MS + end}
    return {**axis, "span": span, "breaks": gaps}


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (an_axis(0, 4_200), ["0", "1 s", "2 s", "3 s", "4 s"]),
        (an_axis(6_800, 26_800), ["10 s", "15 s", "20 s", "25 s"]),
        (an_axis(5_001.5, 5_010), ["5.002 s", "5.004 s", "5.006 s", "5.008 s", "5.01 s"]),
        (an_axis(599_900, 600_700), ["600 s", "600.2 s", "600.4 s", "600.6 s"]),
        (an_axis(590_000, 640_000), ["9 min 50 s", "10 min", "10 min 10 s", "10 min 20 s", "10 min 30 s",
                                     "10 min 40 s"]),
        (an_axis(3_590_000, 3_620_000), ["59 min 50 s", "3600 s", "3610 s", "3620 s"]),
        (an_axis(0, 36e7), ["0", "1 d", "2 d", "3 d", "4 d"]),
        (an_axis(0, 3_600_400, (300, 3_600_100, 100)), ["0", "100 ms", "200 ms", "300 ms", "3600.1 s",
                                                        "3600.2 s", "3600.3 s", "3600.4 s"]),
    ],
)  # fmt: skip
def test_ticks_are_round_times_since_the_beginning(ask: Ask, axis: Any, texts: list[str]) -> None:
    ticks = ask("axis", "ticksOf", axis, 5 if not axis["breaks"] else 8, START_MS)
    assert [tick["text"] for tick in ticks] == texts
    assert all(0 <= tick["at"] <= axis["span"] for tick in ticks)


def test_a_zoom_fits_the_chosen_step_and_then_halves(ask: Ask) -> None:
    def a_span(start: int, end: int) -> Any:
        return a_step("succeeded", [], createdAt=at(start), finishedAt=at(end))

    root = a_span(0, 600_000)
    short, early, late = a_span(300_000, 300_100), a_span(0, 2), a_span(590_000, 600_000)
    extent = ask("axis", "extentOf", {"root": root, "steps": [short, early, late]})
    whole_to = ask("axis", "axisOf", extent, START_MS + 900_000)["to"] - START_MS

    def zoom(step: Any, before: Any = None) -> list[float]:
        found = ask("axis", "nearer", extent, before, step, START_MS + 900_000)
        return [time - START_MS for time in found]

    first = zoom(short)
    assert first == [299_900, 300_200]
    assert zoom(short, [START_MS + time for time in first]) == [299_975, 300_125]
    assert zoom(early) == [0, 10]
    assert zoom(late) == [whole_to - 30_000, whole_to]
    # A step as long as the run: half of the run.
    assert zoom(root) == pytest.approx([300_000 - whole_to / 4, 300_000 + whole_to / 4], abs=0.01)
    # Nothing is nearer than this, and a run that took less is shown whole.
    assert zoom(early, [START_MS, START_MS + 10]) == [0, 10]
    tiny = ask("axis", "extentOf", {"root": a_span(0, 4), "steps": []})
    from_ms, to_ms = ask("axis", "nearer", tiny, None, early, START_MS + 900_000)
    assert (from_ms - START_MS, round(to_ms - START_MS)) == (0, 4)


def test_what_is_outside_of_the_axis_is_on_one_of_its_sides(ask: Ask) -> None:
    axis = an_axis(1_000, 2_000)
    for start, end, is_on, side in (
        (0, 999, False, "before"), (0, 1_000, True, ""), (1_500, 1_600, True, ""), (0, 9_000, True, ""),
        (2_000, 2_500, True, ""), (2_001, 2_500, False, "after"),
    ):  # fmt: skip
        span = {"from": START_MS + start, "to": START_MS + end}
        assert ask("axis", "isOn", axis, span) is is_on
        step = a_step("succeeded", [], createdAt=at(start), finishedAt=at(end))
        assert ask("axis", "sideOf", axis, [step], START_MS + 9_000) == side
        assert bool(ask("rows", "densityOf", [step], axis, START_MS + 9_000)) is is_on
    live = a_step("running", [])
    assert ask("axis", "sideOf", axis, [live], START_MS + 9_000) == ""


def test_siblings_of_one_name_are_one_row_until_it_is_opened(ask: Ask, page: Page) -> None:
    root = a_step("running", [], id="r", parent=None, workflowName="feed")
    steps = [
        a_step("succeeded", [], id=f"s{number}", parent="r", stepName="resize") for number in range(12)
    ]
    steps.append(a_step("succeeded", [], id="below", parent="s3", stepName="store"))
    steps.append(a_step("succeeded", [], id="one", parent="r", stepName="send"))
    run = {"root": root, "steps": steps}
    script = """async ([run, open]) => {
        const { rowsOf } = await import("/static/core/rows.js");
        const rows = rowsOf(run, new Set(open));
        return rows.map(({ key, members, depth }) => [key, members?.length ?? 0, depth]);
    }"""
    group = "group r resize"
    shut = page.evaluate(script, [run, []])
    assert shut == [["r", 0, 0], [group, 12, 1], ["one", 0, 1]]
    opened = page.evaluate(script, [run, [group]])
    assert [key for key, *_ in opened][:6] == ["r", group, "s0", "s1", "s2", "s3"]
    assert ["below", 0, 3] in opened
    assert opened[-1] == ["one", 0, 1]
    assert len(opened) == 16


def test_a_step_that_failed_after_its_parent_is_not_why_it_failed(ask: Ask) -> None:
    def failed(name: str, parent: str, ended: int) -> dict[str, Any]:
        return a_step("failed", [], id=name, parent=parent, finishedAt=at(ended))

    root = a_step("retrying", [], id="root", parent=None)
    steps = [
        failed("before", "root", 1_000),
        failed("outer", "root", 5_000),
        failed("early", "outer", 3_000),
        failed("why", "outer", 4_000),
        failed("late", "outer", 8_000),
    ]
    assert ask("rows", "failedIn", {"root": root, "steps": steps})["id"] == "why"


def test_a_line_is_not_drawn_over_a_gap(page: Page, server: AtomicServer) -> None:
    page.goto(f"{server.url}/dashboard")
    drawn = page.evaluate(
        """async () => {
          const { Chart } = await import("/static/components/chart.js");
          const { html, render } = await import("/static/vendor/preact-htm.js");
          const buckets = [1, 2, null, 4].map((value, at) => ({ from: at, to: at + 1, value }));
          const series = [{ name: "s", kind: "line", tone: "calm", value: (bucket) => bucket.value }];
          const place = document.createElement("div");
          const given = { title: "t", headline: "", buckets, series, show: String, linkOf: () => "#" };
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


MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def a_counter(hour_ms: int, name: str | None = None, **numbers: Any) -> dict[str, Any]:
    counter = dict.fromkeys(("started", "succeeded", "failed", "cancelled", "live", "retries"), 0)
    return {
        "beganAt": datetime.fromtimestamp(hour_ms / 1000, UTC).isoformat().replace("+00:00", "Z"),
        "workflowName": name, "durationMsP50": None, "durationMsP95": None, "countedAt": None,
        **counter, **numbers,
    }  # fmt: skip


def test_the_bars_are_the_chosen_time(ask: Ask) -> None:
    for name, hours, bar_ms in (
        ("1h", 1, MINUTE_MS),
        ("6h", 6, 5 * MINUTE_MS),
        ("24h", 24, HOUR_MS),
        ("7d", 168, 6 * HOUR_MS),
        ("30d", 720, 24 * HOUR_MS),
    ):
        time = ask("run-statistics", "timeOf", name, START_MS)
        assert time["from"] <= START_MS - hours * HOUR_MS
        assert time["to"] > START_MS
        assert time["to"] - time["from"] <= hours * HOUR_MS + 2 * bar_ms
        last = a_counter(time["to"] - time["every"], started=3, succeeded=1, failed=1, live=1)
        bars = ask("run-statistics", "bucketsOf", [last], time)
        assert (bars[0]["from"], bars[-1]["to"]) == (time["from"], time["to"])
        assert all(one["to"] == two["from"] for one, two in itertools.pairwise(bars))
        assert all(bar["to"] - bar["from"] == bar_ms for bar in bars)
        assert [bar["started"] for bar in bars] == [0] * (len(bars) - 1) + [3]
        assert (bars[-1]["rate"], bars[-1]["others"]) == (0.5, 1)
        # Without an end, a rate and a duration are unknown, and not 0.
        assert (bars[0]["rate"], bars[0]["p95"]) == (None, None)
        assert ask("run-statistics", "totalOf", bars)["rate"] == 0.5


def test_bars_are_hours_where_the_server_counts_no_minutes(ask: Ask) -> None:
    asked = ask("run-statistics", "timeOf", "1h", START_MS)
    assert ask("run-statistics", "timeBy", MINUTE_MS, asked) == {**asked, "isCoarse": False}
    hours = ask("run-statistics", "timeBy", HOUR_MS, asked)
    assert hours["isCoarse"]
    assert hours["every"] == HOUR_MS
    assert hours["from"] == asked["from"] - asked["from"] % HOUR_MS
    assert 0 <= hours["to"] - asked["to"] < HOUR_MS
    first = a_counter(hours["from"], started=2)
    bars = ask("run-statistics", "bucketsOf", [first], hours)
    assert [bar["started"] for bar in bars][:1] == [2]
    assert len(bars) == 2


def test_workflows_are_sorted_and_have_their_starts_over_time(ask: Ask) -> None:
    time = ask("run-statistics", "timeOf", "24h", START_MS)
    rows = [
        a_counter(0, "a", started=5, succeeded=5, durationMsP95=70),
        a_counter(0, "b", started=9, failed=2, succeeded=2),
        a_counter(0, "gone"),
        a_counter(0, "c", live=1),
        a_counter(0, None, started=1, succeeded=1, durationMsP95=90),
    ]
    every = ask("run-statistics", "sparkEveryOf", time, len(rows))
    assert every == 2 * HOUR_MS
    last = (time["to"] - 1) // every * every
    sparks = {"items": [a_counter(last, "b", started=4, failed=2)], "spanMs": every, "isAll": True}

    def names(sort: str) -> list[str | None]:
        found = ask("run-statistics", "workflowsOf", rows, sparks, time, sort)
        return [row["workflowName"] for row in found]

    assert names("started") == ["b", "a", None, "c"]
    assert names("-started") == ["c", None, "a", "b"]
    assert names("workflowName") == ["a", "b", "c", None]
    assert names("rate") == ["b", "a", None, "c"]
    # What is unknown is last either way.
    assert names("p95") == [None, "a", "b", "c"]
    assert names("-p95") == ["a", None, "b", "c"]
    bars = ask("run-statistics", "workflowsOf", rows, sparks, time, "started")[0]["bars"]
    assert bars[-1] == [4, 2]
    assert len(bars) <= 25
    partly = ask("run-statistics", "workflowsOf", rows, {**sparks, "isAll": False}, time, "started")
    assert partly[0]["bars"] == []


def test_the_small_bars_of_many_workflows_are_fewer(ask: Ask) -> None:
    for name in ("1h", "6h", "24h", "7d", "30d"):
        time = ask("run-statistics", "timeOf", name, START_MS)
        for workflows in (0, 1, 40, 80, 199):
            every = ask("run-statistics", "sparkEveryOf", time, workflows)
            # Spans of the server begin at multiples of their length, so there may be one more.
            bars = (time["to"] - time["from"]) // every + 1
            assert every % time["every"] == 0
            # What the server answers: minutes that divide an hour, or whole hours.
            assert HOUR_MS % every == 0 or every % HOUR_MS == 0
            assert bars * workflows <= 1000, (name, workflows)


def test_counters_say_when_they_were_counted(ask: Ask) -> None:
    counted = [a_counter(0, countedAt=at(offset)) for offset in (0, 5_000, 1_000)]
    assert ask("run-statistics", "countedAt", counted) == START_MS + 5_000
    assert ask("run-statistics", "countedAt", [a_counter(0)]) is None


TYPED = [
    ("12199", {"search": "12199"}),
    ("order:12", {"search": "order:12"}),
    ("constructor:", {"search": "constructor:"}),
    ('"status:failed"', {"search": "status:failed"}),
    ('workflow:"a \\"b\\" c" error:503', {"workflow": 'a "b" c', "error": "503"}),
    ("tag:a=1 tag:b:2=3", {"tag": ["a:1", "b:2=3"]}),
    ("error:timed_out waits:retry", {"error": "timed_out", "waits": "retry"}),
    ("dismissed:true cause:c1", {"dismissed": "true", "cause": "c1"}),
    ("  ", {}),
]


@pytest.mark.parametrize(("text", "changes"), TYPED, ids=[text for text, _ in TYPED])
def test_what_is_typed_is_read_and_written_again(ask: Ask, text: str, changes: Any) -> None:
    assert ask("search", "read", text)["changes"] == changes
    written = ask("search", "textOf", changes)
    assert ask("search", "read", written)["changes"] == changes


def test_a_name_in_quotes_is_told_from_one_in_a_text_that_is_searched_for(ask: Ask) -> None:
    for text, name in (
        ("workflow:rde", "order"),
        ('workflow:"rde"', "rde"),
        ('"workflow:\\"" workflow:rde', "order"),
    ):
        said = ask("search", "read", text)
        whole = ask("search", "withWholeName", said, ["order", "check invoice"])
        assert whole["changes"]["workflow"] == name, text


def test_the_last_word_gets_suggestions(ask: Ask) -> None:
    known = {
        "workflows": ["order", "a b"],
        "tags": ["customer:cus_1", "env:test"],
        "recent": ["status:failed x"],
    }

    def labels(text: str) -> list[str]:
        return [each["label"] for each in ask("search", "suggestionsOf", text, known)]

    assert labels("") == ["status:failed x", "workflow:", "status:", "waits:", "error:", "tag:"]
    assert labels("ord") == ["Key contains “ord”", "workflow:order"]
    assert labels("12 tag:customer=c") == ["tag:customer=cus_1"]
    assert labels('workflow:"a ') == ['workflow:"a b"']
    assert labels("status:ret") == ["status:retrying"]
    [chosen] = ask("search", "suggestionsOf", "12 tag:env", known)
    assert chosen["text"] == "12 tag:env=test"


def test_ids_are_not_searched_but_opened(ask: Ask) -> None:
    run = "run_" + "0" * 32
    assert ask("search", "read", f" {run} ") == {"id": {"run": run, "step": ""}}
    assert ask("search", "read", f"{run}-a1") == {"id": {"run": run, "step": f"{run}-a1"}}


def test_a_run_is_retrying_if_one_of_its_steps_is(ask: Ask) -> None:
    def wanted(**query: Any) -> dict[str, Any]:
        found = ask("search", "wantedOf", query)
        return {name: value for name, value in found.items() if value}

    assert wanted(status="retrying") == {"waitsFor": "retry"}
    assert wanted(status="waiting", waits="timer") == {"status": "waiting", "waitsFor": "timer"}
    assert wanted(error="503", tag=["a:1"]) == {"responseStatus": "503", "tag": ["a:1"]}
    assert wanted(error="timed_out", search="x") == {"errorKind": "timed_out", "keyContains": "x"}


@pytest.mark.parametrize(
    ("first", "second", "own"),
    [
        ("status 503: busy", "status 502: busy", ("503", "502")),
        ("a b c", "a c", ("b ", "")),
        ("", "none", ("", "none")),
        ("same", "same", ("", "")),
        ("naïve fee", "naïve fée", ("fee", "fée")),
    ],
)
def test_what_differs_between_two_texts(ask: Ask, first: str, second: str, own: tuple[str, str]) -> None:
    sides = ask("differences", "differences", first, second)
    assert tuple("".join(part["text"] for part in side if part["isOwn"]) for side in sides) == own


def test_both_texts_are_whole_and_share_what_is_not_marked(ask: Ask) -> None:
    print("seed=11")
    dice = random.Random(11)
    words = ["503", "a", "b", ":", " ", "\u2028", "é", "<b>"]
    for _ in range(60):
        texts = ["".join(dice.choices(words, k=dice.randrange(40))) for _ in range(2)]
        sides = ask("differences", "differences", *texts)
        assert ["".join(part["text"] for part in side) for side in sides] == texts
        shared = ["".join(part["text"] for part in side if not part["isOwn"]) for side in sides]
        assert shared[0] == shared[1]
    long = ["x " * 40_000, "y " * 40_000]
    sides = ask("differences", "differences", *long)
    assert ["".join(part["text"] for part in side) for side in sides] == long


def test_durations_in_words(ask: Ask) -> None:
    said = {
        0: "0 ms", 999: "999 ms", 1000: "1.00 s", 12_340: "12.3 s", 60_000: "1 min", 123_000: "2 min 3 s",
        3_900_000: "1 h 5 min", 270_000_000: "3 d 3 h",
    }  # fmt: skip
    assert {value: ask("format", "duration", value) for value in said} == said
    round_ones = {
        200: "200 ms",
        1500: "1.5 s",
        5000: "5 s",
        1240: "1.24 s",
        20_000: "20 s",
        100_000: "1 min 40 s",
    }
    assert {value: ask("format", "roundDuration", value) for value in round_ones} == round_ones


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


@pytest.mark.parametrize(
    ("zone", "begin", "hours", "texts"),
    [
        ("UTC", "2026-11-29T03:00", 25, ["06:00", "12:00", "18:00", "Nov 30"]),
        ("UTC", "2026-11-29T03:00", 1, ["03:00", "03:15", "03:30", "03:45"]),
        # Half an hour beside the bars, which are of hours in UTC.
        ("Asia/Kolkata", "2026-11-29T03:00", 25, ["12:00", "18:00", "Nov 30", "06:00"]),
        # Clocks are changed within this time: the ticks are round before and after.
        ("Europe/Berlin", "2026-10-24T12:00", 30, ["18:00", "Oct 25", "06:00", "12:00", "18:00"]),
        ("Europe/Berlin", "2026-03-28T12:00", 30, ["18:00", "Mar 29", "06:00", "12:00", "18:00"]),
        ("UTC", "2026-11-01T00:00", 720, ["Nov 1", "Nov 8", "Nov 15", "Nov 22", "Nov 29"]),
        ("America/New_York", "2026-10-30T00:00", 168, ["Oct 30", "Nov 1", "Nov 3", "Nov 5"]),
    ],
)
def test_ticks_of_a_chart_stand_at_round_times(
    ask: Ask, zone: str, begin: str, hours: int, texts: list[str]
) -> None:
    ask("format", "setZone", zone)
    begin_ms = datetime.fromisoformat(f"{begin}:00+00:00").timestamp() * 1000
    end_ms = begin_ms + hours * 3_600_000
    ticks = ask("time-ticks", "timeTicks", begin_ms, end_ms, 5)
    assert [tick["text"] for tick in ticks] == texts
    times = [tick["at"] for tick in ticks]
    assert times == sorted(set(times))
    assert begin_ms <= times[0]
    assert times[-1] < end_ms
