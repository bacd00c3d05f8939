"""Writes the figures of the last recorded run into docs/performance.md.

python scripts/performance_table.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

REPO: Final = Path(__file__).resolve().parents[1]
sys.path.append(str(REPO / "benchmarks"))  # as pytest and mypy have it
from history import Line, read, sizes  # noqa: E402 - it lies beside the benchmarks

PAGE: Final = REPO / "docs" / "performance.md"
BEGIN: Final = "<!-- The figures of the last recorded run: `make performance` writes them. -->\n"
END: Final = "<!-- The end of the figures. -->\n"
NONE: Final = "\nNo run is recorded yet: `make bench` records one.\n\n"
_SDK: Final = {
    "atomic-fastapi": "steps are endpoints",
    "atomic-values": "steps are values of the handler",
}
_STORED: Final = {
    "ready": "ready",
    "first-run": "first run",
    "newest": "newest 50 runs",
    "by-key-prefix": "by key prefix",
    "by-key-part": "by a part of the key",
    "by-tag": "by a tag",
    "causes": "`causes`",
    "stats": "`stats` of the last 24 h",
    "memory": "memory after it",
}


def figures(line: Line) -> str:
    """The tables of one run."""
    machine = line.machine
    head = (
        f"{line.date:%Y-%m-%d}, commit `{line.commit}`, {machine.cores} cores ({machine.cpu}), "
        f"Python {machine.python}, load {line.load[0]:.1f} before and {line.load[1]:.1f} after, "
        f"{line.took_s / 60:.0f} minutes."
    )
    tables = (_workflow(line), _sdk(line), _chain(line), _backlog(line), _queued(line), _stored(line))
    return "\n" + "\n".join([head, "", *(text for table in tables for text in (*table, ""))]) + "\n"


def with_figures(page: str, lines: list[Line]) -> str:
    """The page with the last line's figures. Raises ValueError if the page lacks the markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN.strip()!r} or {END.strip()!r}")
    return before + BEGIN + (figures(lines[-1]) if lines else NONE) + END + after


def _workflow(line: Line) -> Iterator[str]:
    yield "The workflow of three steps:"
    yield ""
    yield (
        "| callers | runs/s | p50 · p95 · p99 ms | CPU s/1000 runs: server + application | MiB "
        "| the floor: runs/s, CPU | CPU: × the floor |"
    )
    yield "|---|---|---|---|---|---|---|"
    for callers in sizes(line.figures, "workflow"):
        atomic, floor = f"workflow/atomic/{callers}", f"workflow/bare/{callers}"
        ours, theirs = _cpu(line, atomic), _cpu(line, floor)
        rate, mib = line.value(f"{atomic}/rate"), line.value(f"{atomic}/memory-server")
        bare = f"{line.value(f'{floor}/rate'):.0f}, {theirs:.2f} | {ours / theirs:.1f}"
        measured = f"{rate:.0f} | {_latencies(line, atomic)} | {_parts(line, atomic)} | {mib:.0f}"
        yield f"| {callers} | {measured} | {bare} |"


def _sdk(line: Line) -> Iterator[str]:
    yield "The same by the Python SDK on FastAPI, with an API key, and calls that are signed and checked:"
    yield ""
    yield "| | callers | runs/s | p50 · p95 · p99 ms | CPU s/1000 runs: server + application |"
    yield "|---|---|---|---|---|"
    for system, said in _SDK.items():
        for callers in sizes(line.figures, "workflow"):
            name = f"workflow/{system}/{callers}"
            rate = line.value(f"{name}/rate")
            yield f"| {said} | {callers} | {rate:.0f} | {_latencies(line, name)} | {_parts(line, name)} |"


def _chain(line: Line) -> Iterator[str]:
    yield "Chains: one handler posts so many steps one after another; milliseconds per step:"
    yield ""
    lengths = sizes(line.figures, "chain")
    yield f"| | {' | '.join(f'{length} steps' for length in lengths)} |"
    yield "|---|" + "---|" * len(lengths)
    systems = {
        "atomic": "Atomic",
        **{name: f"by the SDK, {said}" for name, said in _SDK.items()},
        "bare": "the floor",
    }
    for system, said in systems.items():
        cells = (f"{line.value(f'chain/{system}/{length}/step'):.2f}" for length in lengths)
        yield f"| {said} | {' | '.join(cells)} |"


def _backlog(line: Line) -> Iterator[str]:
    yield "A backlog: retries of one tenant are due when the server starts, and another tenant posts runs:"
    yield ""
    yield "| due | ready | drained | the other tenant's p50 · p99 | memory |"
    yield "|---|---|---|---|---|"
    for due in sizes(line.figures, "backlog"):
        name = f"backlog/{due}"
        drained = f"{line.value(f'{name}/drained'):.0f}/s" if due else ""
        ready, mib = line.value(f"{name}/ready"), line.value(f"{name}/memory")
        yield f"| {due:,} | {ready:.2f} s | {drained} | {_other(line, name)} | {mib:.0f} MiB |"


def _queued(line: Line) -> Iterator[str]:
    yield "In line: steps of one tenant wait for one of five slots of a key, and another tenant posts runs:"
    yield ""
    yield "| in line | the other tenant's p50 · p99 | memory |"
    yield "|---|---|---|"
    for number in sizes(line.figures, "queued"):
        name = f"queued/{number}"
        yield f"| {number:,} | {_other(line, name)} | {line.value(f'{name}/memory'):.0f} MiB |"


def _stored(line: Line) -> Iterator[str]:
    yield "A long history: a server starts on so many runs, and lists them:"
    yield ""
    numbers = sizes(line.figures, "stored")
    yield f"| | {' | '.join(f'{number:,} runs' for number in numbers)} |"
    yield "|---|" + "---|" * len(numbers)
    for name, said in _STORED.items():
        found = [line.figures[f"stored/{number}/{name}"] for number in numbers]
        yield f"| {said} | {' | '.join(f'{each.value:.3g} {each.unit}' for each in found)} |"


def _cpu(line: Line, name: str) -> float:
    return line.value(f"{name}/cpu-server") + line.value(f"{name}/cpu-application")


def _parts(line: Line, name: str) -> str:
    server, application = (line.value(f"{name}/cpu-{part}") for part in ("server", "application"))
    return f"{server + application:.2f} = {server:.2f} + {application:.2f}"


def _latencies(line: Line, name: str) -> str:
    return " · ".join(f"{line.value(f'{name}/p{percent}'):.1f}" for percent in (50, 95, 99))


def _other(line: Line, name: str) -> str:
    return f"{line.value(f'{name}/other-p50'):.1f} · {line.value(f'{name}/other-p99'):.1f} ms"


if __name__ == "__main__":
    PAGE.write_text(with_figures(PAGE.read_text(), read()))
