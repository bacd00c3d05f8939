"""What every runtime takes from its machine: clocks, random numbers, and log lines about steps."""

import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import Final

from atomic.application.adaptive import SlowedOrigin
from atomic.application.ports import Telemetry
from atomic.domain.outcomes import StepError
from atomic.domain.steps import Attempt, Step
from atomic.protocol.enums import Status

_clock_log: Final = logging.getLogger("atomic.clock")
_step_log: Final = logging.getLogger("atomic.steps")
_destination_log: Final = logging.getLogger("atomic.destinations")

_jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing
# On Linux this clock includes suspended time; elsewhere the monotonic one may.
_ELAPSED: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# Smaller corrections are normal: time servers make them all the time.
_NOTABLE_MS: Final = 1_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _elapsed_ms() -> float:
    return time.clock_gettime_ns(_ELAPSED) / 1e6


class SystemClock:
    """The wall clock in UTC, as it is set: for rows that several machines share."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return _wall_ms()

    def wall_ms(self) -> int:
        """The same."""
        return _wall_ms()


class SteadyClock:
    """The wall clock, except that it never goes back within a process: for rows that one process owns.

    It follows when the wall clock is set forward. When the wall clock is set back, it advances by the real
    elapsed time, and stays ahead until the process ends or the wall clock has caught up.
    """

    def __init__(
        self, wall_ms: Callable[[], int] = _wall_ms, elapsed_ms: Callable[[], float] = _elapsed_ms
    ) -> None:
        self._wall_ms = wall_ms
        self._elapsed_ms = elapsed_ms
        self._offset_ms = wall_ms() - elapsed_ms()
        self._told_ms = 0.0

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        elapsed_ms = self._elapsed_ms()
        offset_ms = self._wall_ms() - elapsed_ms
        if offset_ms >= self._offset_ms:
            self._offset_ms, self._told_ms = offset_ms, 0.0
        elif self._offset_ms - offset_ms > self._told_ms + _NOTABLE_MS:
            self._told_ms = self._offset_ms - offset_ms
            _clock_log.warning("the wall clock was set back; until a restart, the times of steps ignore it")
        return round(elapsed_ms + self._offset_ms)

    def wall_ms(self) -> int:
        """Milliseconds since the epoch as the wall clock has them."""
        return self._wall_ms()


class SystemEntropy:
    """The operating system's randomness."""

    def token(self) -> str:
        """32 unguessable hex digits."""
        return secrets.token_hex(16)

    def token_bytes(self, size: int) -> bytes:
        """Unguessable bytes."""
        return secrets.token_bytes(size)

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return _jitter.random()


class LoggedTelemetry:
    """Implements `ports.Telemetry`: passes events on to the runtime's metrics, and logs failures."""

    def __init__(self, metrics: Telemetry) -> None:
        self._metrics = metrics
        # These events are not logged.
        self.started = metrics.started
        self.reopened = metrics.reopened
        self.owner_lost = metrics.owner_lost
        self.lagged = metrics.lagged
        self.deferred = metrics.deferred

    def attempt_ended(self, step: Step, attempt: Attempt) -> None:
        """An attempt is over."""
        self._metrics.attempt_ended(step, attempt)
        if step.status is not Status.SUCCEEDED:
            _step_log.info("attempt ended without success", extra=_fields(step, attempt, attempt.error))

    def settled(self, step: Step) -> None:
        """A step has its outcome."""
        self._metrics.settled(step)
        if step.is_dead_letter:
            last = step.attempt_log[-1] if step.attempt_log else None
            _step_log.warning("step failed", extra=_fields(step, last, step.error))


def log_turn(slowed: SlowedOrigin, falls: bool) -> None:
    """The limit of a destination has turned: it falls, or it rises again. Its URL is the client's."""
    _destination_log.warning(
        "the destination seems overloaded: fewer attempts at once"
        if falls
        else "the destination answers again: more attempts at once",
        extra={
            "clientId": slowed.client_id,
            "limit": slowed.limit,
            "underWay": slowed.under_way,
            "waiting": slowed.waiting,
            "restsMs": slowed.rests_ms,
        },
    )


def _fields(step: Step, attempt: Attempt | None, error: StepError | None) -> dict[str, object]:
    fields: dict[str, object] = {
        "clientId": step.spec.client_id,
        "runId": step.spec.run_id,
        "stepId": step.id,
        "stepStatus": step.status.value,
        "dueAtMs": step.due_at_ms,
        "errorKind": None if error is None else error.kind.value,
    }
    if attempt is not None:
        fields |= {
            "attempt": attempt.number,
            "outcome": attempt.outcome,
            "status": attempt.status,
        }
    return fields
