"""Conditions of lists that no index knows: rows are compared, so many a page at most."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from atomic.adapters.memory.store import MemoryStepStore
from atomic.application import queries
from atomic.application.queries import Conditions, dead_letters, list_runs
from atomic.application.run_query import RunQuery
from atomic.domain.outcomes import StepError
from atomic.domain.outlines import outline_of
from atomic.domain.pauses import Pause
from atomic.domain.steps import Attempt, Step
from atomic.domain.waits import waits_for
from atomic.protocol.enums import Kind, Status
from atomic.protocol.error_kinds import ErrorKind
from atomic.testing import LocalAtomic, run
from contract.builders import a_child, a_root
from contract.store_suite import keyed, put

WANTED = Conditions(error_kind=ErrorKind.TIMED_OUT)


def failed(number: int, *, fits: bool) -> Step:
    kind = ErrorKind.TIMED_OUT if fits else ErrorKind.NETWORK
    return replace(keyed(f"k-{number}", at_ms=number, status=Status.FAILED), error=StepError(kind))


def pages(steps: Sequence[Step], limit: int, *, of_runs: bool) -> list[list[str]]:
    """The ids on each page of a list of all that timed out."""

    async def read() -> list[list[str]]:
        store = MemoryStepStore()
        await put(store, *steps)
        engine = LocalAtomic(store=store).engine
        query, found = RunQuery(client_id="acme", limit=limit), list[list[str]]()
        while True:
            if of_runs:
                roots, after = await list_runs(engine, query, WANTED)
                found.append([root.id for root in roots])
            else:
                letters, after = await dead_letters(engine, query, WANTED)
                found.append([letter.step.id for letter in letters])
            if after is None:
                return found
            query = replace(query, after=after)

    return run(read())


def test_pages_miss_nothing_and_show_nothing_twice() -> None:
    for every, limit in ((1, 50), (3, 50), (3, 7), (40, 2), (2000, 1), (1, 100)):
        steps = [failed(number, fits=number % every == 0) for number in range(1_203)]
        expected = [step.id for step in reversed(steps) if WANTED.fit(step)]
        for of_runs in (True, False):
            found = pages(steps, limit, of_runs=of_runs)
            assert [each for page in found for each in page] == expected
            assert all(len(page) <= limit for page in found)
    # A page reads so many rows at most, so it may be short, or empty, with a next one.
    assert queries._COMPARED_MAX == 500
    lone = pages([failed(number, fits=number == 0) for number in range(1_203)], 50, of_runs=True)
    assert [len(page) for page in lone] == [0, 0, 1]


def test_the_status_is_the_last_answer() -> None:
    assert Conditions(response_status=503).fit(replace(a_root(), response_status=503))
    assert not Conditions(response_status=503).fit(a_root())
    made = [
        Attempt(number=n, generation=1, started_at_ms=1, status=status)
        for n, status in ((1, 500), (2, 503))
    ]
    retrying = replace(a_root(status=Status.RETRYING), attempt_log=tuple(made))
    assert Conditions(response_status=503).fit(retrying)
    assert not Conditions(response_status=500).fit(retrying)


def test_what_a_run_waits_for() -> None:
    root = replace(a_root(), status=Status.WAITING)

    def waits(*steps: Step, now_ms: int = 5_000, of: Step = root) -> set[str]:
        return set(waits_for(of, [outline_of(step) for step in (of, *steps)], now_ms))

    def child(kind: Kind = "http", **members: Any) -> Step:
        step = a_child("c")
        return replace(step, spec=replace(step.spec, kind=kind), **members)

    assert waits() == waits(child()) == waits(child("event", status=Status.SUCCEEDED)) == set()
    assert waits(child("timer")) == {"timer"}
    assert waits(child("event"), child(status=Status.RETRYING)) == {"event", "retry"}
    assert waits(child("run"), child(in_line=True)) == {"run", "slot"}
    assert waits(of=replace(root, in_line=True)) == {"slot"}
    assert waits(of=replace(root, status=Status.RETRYING)) == {"retry"}
    paused = replace(root, pause=Pause(since_ms=1, until_ms=6_000))
    assert waits(of=paused) == {"resume"}
    assert waits(of=paused, now_ms=6_000) == set()
    assert waits(child("timer"), of=replace(paused, status=Status.FAILED)) == set()
