"""The times of a schedule in words, computed without a page of a schedule."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from atomic.domain.cron import parse_cron
from dashboard.test_arithmetic import ask as ask

Ask = Callable[..., Any]
WORDS = {
    "0 8 * * MON-FRI": "Monday to Friday at 08:00",
    "0 8 * * *": "every day at 08:00",
    "5,35 8,20 * * ?": "every day at 08:05, 08:35, 20:05 and 20:35",
    "@daily": "every day at 00:00",
    "@HOURLY": "every hour",
    "@weekly": "Sunday at 00:00",
    "@monthly": "on day 1 of the month at 00:00",
    "@yearly": "on day 1 of the month in January at 00:00",
    "* * * * *": "every minute",
    "*/15 * * * *": "every 15 minutes",
    "*/15 8-17 * * 1-5": "every 15 minutes from 08:00 to 17:45, Monday to Friday",
    "* 8-17 * * *": "every minute from 08:00 to 17:59",
    "30 8-17 * * *": "every hour from 08:30 to 17:30",
    "7 * * * *": "every hour at minute 7",
    "0 */6 * * *": "every 6 hours",
    "5 */6 * jan,jul *": "every 6 hours at minute 5, in January and July",
    "0 12 L * *": "on the last day of the month at 12:00",
    "0 12 1,15 6-8 *": "on day 1 and 15 of the month in June to August at 12:00",
    "0 9 * * MON#2": "the second Monday of the month at 09:00",
    "0 9 * * 5L": "the last Friday of the month at 09:00",
    "0 9 * * 7": "Sunday at 09:00",
    "0 9 * * FRI-SUN": "Friday to Sunday at 09:00",
}
# No short phrase says these, or it would say too little.
NO_WORDS = [
    "*/7 * * * *", "0 */5 * * *", "*/15 8,9 * * *", "0 0 13 * FRI", "0 0 */2 * *", "0 0 1 */2 *",
    "0,15,30,45 8,9 * * *", "0 0 * * 1-5/2", "10-20 * * * *", "0 0 L,15 * *", "*/15 8 * * *",
]  # fmt: skip


@pytest.mark.parametrize("expression", [*WORDS, *NO_WORDS])
def test_these_expressions_are_those_of_schedules(expression: str) -> None:
    assert parse_cron(expression).times


def test_cron_expressions_in_words(ask: Ask, page: Page) -> None:
    said = {expression: ask("cadence", "cronInWords", expression) for expression in [*WORDS, *NO_WORDS]}
    assert said == WORDS | dict.fromkeys(NO_WORDS)


def when(ask: Ask, **given: Any) -> dict[str, str]:
    times = {"cron": None, "every": None, "phase": 0, "at": None, "timeZone": "UTC"}
    found: dict[str, str] = ask("cadence", "whenInWords", {**times, **given})
    return found


def test_the_times_of_a_schedule_in_words(ask: Ask) -> None:
    assert when(ask, every=90_061_001) == {"text": "Every 1 d 1 h 1 min 1 s 1 ms", "code": ""}
    assert when(ask, every=3_600_000, phase=300_000)["text"] == "Every 1 h, 5 min later"
    moments = ["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z"]
    assert when(ask, at=moments)["text"] == "At 2 times"
    assert when(ask, at=moments[:1])["text"].startswith("Once: ")
    two = ["0 8 * * *", "0 20 * * SAT"]
    assert when(ask, cron=two, timeZone="Asia/Tokyo") == {
        "text": "Every day at 08:00; Saturday at 20:00, Asia/Tokyo",
        "code": "0 8 * * * · 0 20 * * SAT",
    }
    assert when(ask, cron=["0 8 * * *", "*/7 * * * *"])["text"] == "By an expression, UTC"


def test_policies_in_words(ask: Ask) -> None:
    window = {"policy": "last", "window": 86_400_000}
    assert "older than 1 d" in ask("schedule-words", "catchUpInWords", {"catchUp": window})
    none = {"policy": "none", "window": 0}
    assert "older" not in ask("schedule-words", "catchUpInWords", {"catchUp": none})
    # A server may know more of them than an open page.
    assert ask("schedule-words", "overlapInWords", {"overlap": "unheard"}) == "unheard"
    unheard = {"policy": "unheard", "window": 1000}
    assert ask("schedule-words", "catchUpInWords", {"catchUp": unheard}).startswith("unheard")
    counted = {"failures": 2, "missed": 1, "skipped": 1200}
    assert ask("schedule-words", "troublesOf", counted) == [
        "2 failed in a row",
        "1 missed",
        "1,200 skipped",
    ]
