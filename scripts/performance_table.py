"""Writes the figures of the last recorded run into docs/performance.md.

PYTHONPATH=benchmarks python scripts/performance_table.py
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from history import Line, read
from marked import replaced

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN: Final = "<!-- The figures of the last recorded run: `make performance` writes them. -->\n"
END: Final = "<!-- The end of the figures. -->\n"
NONE: Final = "\nNo run is recorded yet: `make bench` records one.\n\n"
_SDK: Final = {
    "atomic-fastapi": "steps are endpoints",
    "atomic-values": "steps are values of the handler",
}
_MEASURED: Final = ("callers", "runs/s", "p50 · p95 · p99 ms", "CPU s/1000 runs: server + application")
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
    return replaced(page, BEGIN, END, figures(lines[-1]) if lines else NONE)


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield title
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"


def _workflow(line: Line) -> Iterator[str]:
    def row(callers: int) -> Sequence[str]:
        atomic, floor = f"workflow/atomic/{callers}", f"workflow/bare/{callers}"
        ours, theirs = _cpu(line, atomic), _cpu(line, floor)
        mib = f"{line.value(f'{atomic}/memory-server'):.0f}"
        bare = f"{line.value(f'{floor}/rate'):.0f}, {theirs:.2f}"
        measured = (_rate(line, atomic), _latencies(line, atomic), _parts(line, atomic), mib)
        return (str(callers), *measured, bare, f"{ours / theirs:.1f}")

    heads = (*_MEASURED, "MiB", "the floor: runs/s, CPU", "CPU: × the floor")
    return _table("The workflow of three steps:", heads, map(row, line.sizes("workflow")))


def _sdk(line: Line) -> Iterator[str]:
    rows = (
        (said, str(callers), _rate(line, name), _latencies(line, name), _parts(line, name))
        for system, said in _SDK.items()
        for callers in line.sizes("workflow")
        for name in [f"workflow/{system}/{callers}"]
    )
    title = "The same by the Python SDK on FastAPI, with an API key, and calls that are signed and checked:"
    return _table(title, ("", *_MEASURED), rows)


def _chain(line: Line) -> Iterator[str]:
    lengths = line.sizes("chain")
    by_sdk = {name: f"by the SDK, {said}" for name, said in _SDK.items()}
    rows = (
        (said, *(f"{line.value(f'chain/{system}/{length}/step'):.2f}" for length in lengths))
        for system, said in {"atomic": "Atomic", **by_sdk, "bare": "the floor"}.items()
    )
    title = "Chains: one handler posts so many steps one after another; milliseconds per step:"
    return _table(title, ("", *(f"{length} steps" for length in lengths)), rows)


def _backlog(line: Line) -> Iterator[str]:
    def row(due: int) -> Sequence[str]:
        name = f"backlog/{due}"
        drained = f"{line.value(f'{name}/drained'):.0f}/s" if due else ""
        ready, mib = line.value(f"{name}/ready"), line.value(f"{name}/memory")
        return (f"{due:,}", f"{ready:.2f} s", drained, _other(line, name), f"{mib:.0f} MiB")

    title = "A backlog: retries of one tenant are due when the server starts, and another posts runs:"
    heads = ("due", "ready", "drained", "the other tenant's p50 · p99", "memory")
    return _table(title, heads, map(row, line.sizes("backlog")))


def _queued(line: Line) -> Iterator[str]:
    def row(number: int) -> Sequence[str]:
        name = f"queued/{number}"
        return (f"{number:,}", _other(line, name), f"{line.value(f'{name}/memory'):.0f} MiB")

    title = "In line: steps of one tenant wait for one of five slots of a key, and another posts runs:"
    heads = ("in line", "the other tenant's p50 · p99", "memory")
    return _table(title, heads, map(row, line.sizes("queued")))


def _stored(line: Line) -> Iterator[str]:
    numbers = line.sizes("stored")

    def row(of: tuple[str, str]) -> Sequence[str]:
        name, said = of
        found = [line.figures[f"stored/{number}/{name}"] for number in numbers]
        return (said, *(f"{each.value:.3g} {each.unit}" for each in found))

    title = "A long history: a server starts on so many runs, and lists them:"
    return _table(title, ("", *(f"{number:,} runs" for number in numbers)), map(row, _STORED.items()))


def _rate(line: Line, name: str) -> str:
    return f"{line.value(f'{name}/rate'):.0f}"


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
