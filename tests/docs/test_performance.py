"""The history of benchmarks: its lines, what is shown of them, and the page that is written from it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import history
from performance_table import BEGIN, END, NONE, PAGE, figures, with_figures

BENCHMARKS = Path(history.__file__).parent
SIZES = {"workflow": (1, 64), "chain": (10, 100), "backlog": (0, 20_000), "queued": (0, 20_000)}


def _of_systems() -> dict[str, str]:
    units: dict[str, str] = {}
    for system in ("atomic", "atomic-fastapi", "atomic-values", "bare"):
        for callers in SIZES["workflow"]:
            name = f"workflow/{system}/{callers}"
            units[f"{name}/rate"] = "runs/s"
            units |= {f"{name}/p{percent}": "ms" for percent in (50, 95, 99)}
            for part in ("server", "application"):
                units |= {f"{name}/cpu-{part}": "CPU s/1000 runs", f"{name}/memory-{part}": "MiB"}
        for length in SIZES["chain"]:
            units |= {f"chain/{system}/{length}/step": "ms", f"chain/{system}/{length}/cpu": "CPU ms"}
    return units


def _of_the_server() -> dict[str, str]:
    units = {"backlog/20000/drained": "steps/s"}
    for part in ("backlog", "queued"):
        for size in SIZES[part]:
            name = f"{part}/{size}"
            units |= {f"{name}/other-p50": "ms", f"{name}/other-p99": "ms", f"{name}/memory": "MiB"}
            units |= {f"{name}/ready": "s"} if part == "backlog" else {}
    for size in (1_000, 100_000):
        units |= {f"stored/{size}/ready": "s", f"stored/{size}/first-run": "s"}
        for each in ("newest", "by-key-prefix", "by-key-part", "by-tag", "causes", "stats"):
            units[f"stored/{size}/{each}"] = "ms"
        units[f"stored/{size}/memory"] = "MiB"
    return units


def a_line(day: int = 1, scale: float = 1.0, **more: Any) -> dict[str, Any]:
    """A line as JSON has it. The numbers of Atomic are multiplied by the scale."""
    units = _of_systems() | _of_the_server()
    line = {
        "date": f"2026-12-{day:02}T10:00:00Z",
        "commit": "0123456789ab",
        "machine": {"cores": 2, "cpu": "A processor", "python": "3.11.7"},
        "load": [0.1, 1.5],
        "took_s": 400,
        "figures": {
            name: {"value": 2.0 if "/bare/" in name else 4 * scale, "unit": unit}
            for name, unit in units.items()
        },
    }
    return line | more


def parsed(*lines: dict[str, Any]) -> list[history.Line]:
    return [history.Line.model_validate_json(json.dumps(line)) for line in lines]


def test_the_lines_of_the_history_are_well_formed() -> None:
    lines = history.read()
    # A run of code that is not in a commit cannot be measured again.
    assert [line.commit for line in lines if line.commit.endswith("-dirty")] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"commit": "main"}, "commit"),
        ({"date": "2026-12-01T10:00:00"}, "date"),
        ({"machine": {"cores": 0, "cpu": "x", "python": "3.11.7"}}, r"machine\.cores"),
        ({"load": [0.1]}, r"load\.1"),
        ({"figures": {}}, "figures"),
        ({"figures": {"rate": {"value": 1, "unit": "runs/s"}}}, r"figures\.rate"),
        ({"figures": {"a/b": {"value": 1, "unit": "furlongs"}}}, "unit"),
        ({"figures": {"a/b": {"value": -1, "unit": "ms"}}}, "value"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_a_line_that_is_not_well_formed_is_refused(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(json.dumps(a_line()) + "\n")
    assert len(history.read(file)) == 1
    file.write_text(json.dumps(a_line()) + "\n" + json.dumps(a_line(2, **change)) + "\n")
    with pytest.raises(ValueError, match=rf"history\.jsonl, line 2: [\s\S]*{said}"):
        history.read(file)


def test_lines_are_in_the_order_of_their_dates(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    for line in parsed(a_line(2), a_line(1)):
        history.append(line, file)
    with pytest.raises(ValueError, match="line 2: it is not later than the line before"):
        history.read(file)


def test_what_changed_is_shown_beside_the_floor() -> None:
    shown = history.compared(parsed(a_line(1), a_line(2, scale=1.5)))
    lines = {line.split()[0]: line for line in shown.splitlines() if "/" in line}
    assert re.search(
        r" 4 \(x2\.00\) +6 \(x3\.00\)  runs/s  \+50 % better$", lines["workflow/atomic/64/rate"]
    )
    assert re.search(r" 4 \(x2\.00\) +6 \(x3\.00\)  ms  \+50 % WORSE$", lines["workflow/atomic/64/p99"])
    assert re.search(r" 4 +6  steps/s  \+50 % better$", lines["backlog/20000/drained"])
    assert re.search(r" 2 +2  runs/s  \+0 %$", lines["workflow/bare/64/rate"])
    assert "different machines" not in shown
    other = a_line(2, machine={"cores": 8, "cpu": "Another", "python": "3.13.0"})
    assert "different machines" in history.compared(parsed(a_line(1), other))
    assert re.search(r"rate +4 \(x2\.00\)  runs/s$", history.compared(parsed(a_line(1))), re.MULTILINE)


def test_a_figure_that_is_new_has_no_change() -> None:
    before = a_line(1)
    del before["figures"]["stored/1000/stats"]
    shown = history.compared(parsed(before, a_line(2)))
    assert re.search(r"^stored/1000/stats +- +4  ms$", shown, re.MULTILINE)


def test_the_page_has_the_figures_of_the_last_line() -> None:
    assert with_figures(PAGE.read_text(), history.read()) == PAGE.read_text(), "run `make performance`"


def test_servers_are_told_more_memory_than_was_measured() -> None:
    [told] = re.findall(r"^\| memory \| (\d+) MiB", (PAGE.parent / "servers.md").read_text(), re.MULTILINE)
    figures = history.read()[-1].figures
    of_servers = [
        name for name in figures if re.search(r"^workflow/atomic.*/memory-server$|/memory$", name)
    ]
    assert len(of_servers) > 10
    assert max(figures[name].value for name in of_servers) < int(told)


def test_the_figures_of_a_line_are_written_between_the_markers() -> None:
    page = f"before\n{BEGIN}old\n{END}after\n"
    assert with_figures(page, []) == f"before\n{BEGIN}{NONE}{END}after\n"
    one, last = parsed(a_line(1), a_line(2, scale=1.5))
    written = with_figures(page, [one, last])
    assert written == f"before\n{BEGIN}{figures(last)}{END}after\n"
    assert (
        "2026-12-02, commit `0123456789ab`, 2 cores (A processor), Python 3.11.7, load 0.1 before"
        in written
    )
    assert "| 64 | 6 | 6.0 · 6.0 · 6.0 | 12.00 = 6.00 + 6.00 | 6 | 2, 4.00 | 3.0 |" in written
    assert "| Atomic | 6.00 | 6.00 |" in written
    assert "| 20,000 | 6.00 s | 6/s | 6.0 · 6.0 ms | 6 MiB |" in written
    with pytest.raises(ValueError, match="the page lacks"):
        with_figures("no markers", [one])


def test_all_benchmarks_together_append_a_line(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    sizes = (
        "--callers 2 --runs 20 --servers atomic,bare --steps 3 --rounds 1 --due 20 --queued 10 --posts 20"
    )
    command = [sys.executable, BENCHMARKS / "record.py", *sizes.split(), "--stored", "50", "--failed", "30"]
    subprocess.run([*command, "--history", file], check=True, timeout=300, stdout=subprocess.DEVNULL)
    [line] = history.read(file)
    kinds = {re.sub(r"/\d+/", "/N/", name) for name in line.figures}
    all_kinds = {re.sub(r"/\d+/", "/N/", name) for name in parsed(a_line())[0].figures}
    assert kinds == {kind for kind in all_kinds if "atomic-" not in kind}
    assert line.value("workflow/atomic/2/rate") > 0
    assert line.times_the_floor("workflow/atomic/2/p50") is not None
