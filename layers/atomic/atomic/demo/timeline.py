"""Every call of a run as aligned text, made of what `GET /{clientId}/runs/{runId}` tells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any, Final

Paint = Callable[[str, str], str]
_STYLES: Final = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "red": "31"}
BAR_WIDTH: Final = 24


@dataclass(frozen=True)
class Call:
    """One HTTP call. Times are milliseconds since the first call began; `depth` says how nested it is."""

    who: str
    what: str
    at_ms: int
    took_ms: int
    status: str
    attempt: int | None = None
    depth: int = 0


def paint(text: str, style: str) -> str:
    """The text in a colour or weight, for a terminal."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def plain(text: str, _style: str) -> str:
    """The text as it is, for everything else."""
    return text


def calls_of(run: dict[str, Any], *, began_ms: int) -> list[Call]:
    """All calls between the application and Atomic in the order in which they began."""
    steps = [run["root"], *run["steps"]]
    calls = [call for step in steps for call in _calls_of_step(step, began_ms)]
    return sorted(calls, key=lambda call: call.at_ms)


def attempts_of(run: dict[str, Any], path_end: str) -> list[int | None]:
    """The statuses that the endpoint whose URL ends so has answered, in order."""
    steps = [run["root"], *run["steps"]]
    found = [step for step in steps if step["stepInvokeUrl"].endswith(path_end)]
    return [attempt["status"] for step in found for attempt in step["attemptLog"]]


def lines_of(calls: Sequence[Call], style: Paint, bar_width: int = BAR_WIDTH) -> list[str]:
    """A heading and one line a call; a narrow terminal has no room for bars, their width is 0 there."""
    width = max(len(_label(call)) for call in calls)
    whole_ms = max(1, *(call.at_ms + call.took_ms for call in calls))
    heading = f"{'when':>7}  {'took':>7}  {'who calls':<12}  {'what':<{width}}  try  answer"
    return [
        style(heading, "bold"),
        *(_line(call, width, style) + _bar(call, whole_ms, bar_width, style) for call in calls),
    ]


def _line(call: Call, width: int, style: Paint) -> str:
    times = style(f"{call.at_ms:>4} ms  {call.took_ms:>4} ms", "dim")
    label = f"{_label(call):<{width}}"
    answer = style(f"{call.status:<6}", _colour(call))
    return f"{times}  {call.who:<12}  {label}  {call.attempt or '':>3}  {answer}"


def _bar(call: Call, whole_ms: int, width: int, style: Paint) -> str:
    if width <= 0:
        return ""
    start = min(width - 1, call.at_ms * width // whole_ms)
    end = max(start + 1, ceil((call.at_ms + call.took_ms) * width / whole_ms))
    return "  " + " " * start + style("━" * (end - start), _colour(call) if call.attempt else "dim")


def _colour(call: Call) -> str:
    return "green" if call.status == "200" else "yellow"


def _label(call: Call) -> str:
    return "  " * call.depth + call.what


def _calls_of_step(step: dict[str, Any], began_ms: int) -> list[Call]:
    name = str(step["stepInvokeUrl"]).rpartition("/")[2]
    is_root = step["parent"] is None
    at_ms, ended_ms = _ms(step["createdAt"]), _ms(step["finishedAt"])
    start = Call(
        who="app → Atomic",
        what=f"start {name}",
        at_ms=max(0, at_ms - began_ms),
        took_ms=ended_ms - at_ms,
        status="200" if step["status"] == "succeeded" else step["status"],
        depth=1 if is_root else 3,
    )
    return [start, *(_attempt(attempt, name, start, began_ms) for attempt in step["attemptLog"])]


def _attempt(attempt: dict[str, Any], name: str, start: Call, began_ms: int) -> Call:
    at_ms = _ms(attempt["startedAt"])
    return Call(
        who="Atomic → app",
        what=name,
        at_ms=max(0, at_ms - began_ms),
        took_ms=_ms(attempt["endedAt"]) - at_ms,
        status=str(attempt["status"] or attempt["outcome"]),
        attempt=attempt["number"],
        depth=start.depth + 1,
    )


def _ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
