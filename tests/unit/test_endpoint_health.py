"""How endpoints have answered lately: what is counted, for how long, and at what cost."""

import time

from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.application.endpoint_health import (
    MINUTES,
    NOTES_MAX,
    ORIGINS_MAX,
    OTHERS,
    EndpointHealth,
    Note,
)
from atomic.domain.steps import Attempt
from atomic.protocol.enums import OutcomeKind
from contract.builders import a_root, a_spec

MINUTE_MS = 60_000
NOW_MS = 1_790_000_000_000
OK, BAD = OutcomeKind.SUCCEEDED, OutcomeKind.RETRYABLE


def note(url: str, took_ms: int, outcome: OutcomeKind = OK, *, at_ms: int = NOW_MS, of: str = "a") -> Note:
    return Note(of, url, at_ms - took_ms, at_ms, outcome)


def test_attempts_are_counted_by_origin_and_client() -> None:
    health = EndpointHealth()
    health.noted += [
        note("http://one.test/a", 10),
        note("http://one.test/b?c", 10, BAD),
        note("http://one.test/c", 10, OutcomeKind.PERMANENT),
        note("http://one.test/d", 10, OutcomeKind.SUSPENDED),
        note("http://two.test:81/a", 2_000),
        note("http://one.test/a", 10, of="b"),
        # Nobody has heard from these endpoints, or Atomic itself refused what the handler posted.
        note("http://one.test/a", 10, OutcomeKind.NO_ANSWER),
        note("http://one.test/a", 10, OutcomeKind.DEFERRED),
    ]
    found = health.of("a", NOW_MS)
    assert {origin: (each.attempts, each.failed) for origin, each in found.items()} == {
        "http://one.test:80": (4, 2),
        "http://two.test:81": (1, 0),
    }
    assert found["http://two.test:81"].duration_ms_of(1.0) == 2_000
    assert [*health.of("b", NOW_MS)] == ["http://one.test:80"]
    assert health.of("c", NOW_MS) == {}


def test_durations_are_within_those_that_were_seen() -> None:
    health = EndpointHealth()
    health.noted += [note("http://one.test/", 12_000), note("http://two.test/", 12_000)]
    health.noted += [note("http://two.test/", 14_000, at_ms=NOW_MS + MINUTE_MS)]
    found = health.of("a", NOW_MS + MINUTE_MS)
    one, two = found["http://one.test:80"], found["http://two.test:80"]
    assert {one.duration_ms_of(share) for share in (0.01, 0.5, 0.95, 1.0)} == {12_000}
    assert (two.duration_ms_of(0.5), two.duration_ms_of(1.0)) == (13_000, 14_000)


def test_an_attempt_counts_for_fifteen_minutes_and_is_forgotten_then() -> None:
    health = EndpointHealth()
    health.noted.append(note("http://one.test/", 5))
    last_ms = NOW_MS + (MINUTES - 1) * MINUTE_MS
    assert health.of("a", last_ms)["http://one.test:80"].attempts == 1
    assert health.of("a", last_ms + MINUTE_MS) == {}
    health.noted.append(note("http://one.test/", 5, at_ms=last_ms + MINUTE_MS))
    health.sum_up()
    assert len(health._minutes) == 1


def test_many_origins_of_a_client_are_counted_together() -> None:
    health = EndpointHealth()
    health.noted += [note(f"http://host-{number}.test/", 1) for number in range(ORIGINS_MAX + 50)]
    health.noted += [note("http://host-0.test/", 1)]
    found = health.of("a", NOW_MS)
    assert len(found) == ORIGINS_MAX + 1
    assert found[OTHERS].attempts == 50
    assert found["http://host-0.test:80"].attempts == 2


def test_memory_is_bounded_whatever_clients_call() -> None:
    health = EndpointHealth()
    for client in range(100):
        health.noted += [note(f"http://h{number}.test/", 1, of=f"c{client}") for number in range(100)]
        health.sum_up()
    assert sum(map(len, health._minutes[NOW_MS // MINUTE_MS].values())) == 5_000


def test_an_attempt_costs_a_few_microseconds() -> None:
    telemetry = PrometheusTelemetry()
    step = a_root(a_spec())
    attempt = Attempt(number=1, generation=1, started_at_ms=NOW_MS, ended_at_ms=NOW_MS + 7, outcome=OK)
    number = 20 * NOTES_MAX
    # The best of some rounds: other work may use the processor, too.
    best_s = 1.0
    for _ in range(5):
        began_s = time.perf_counter()
        for _ in range(number):
            telemetry.attempt_ended(step, attempt)
        best_s = min(best_s, time.perf_counter() - began_s)
    assert best_s / number < 15e-6
    assert len(telemetry.endpoints.noted) < NOTES_MAX
    found = telemetry.endpoints.of(step.spec.client_id, NOW_MS)
    assert [each.attempts for each in found.values()] == [5 * number]
