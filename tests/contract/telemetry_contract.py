"""What every `Telemetry` must do: accept every event of a step, at once and without an error."""

from dataclasses import replace

import pytest

from atomic.application.ports import Telemetry
from atomic.domain.steps import Attempt
from atomic.protocol.enums import OutcomeKind, Status
from contract.builders import a_full_step, a_root, settled

ROOT = a_root()


class TelemetryContract:
    """Inherit and define `telemetry`."""

    def telemetry(self) -> Telemetry:
        raise NotImplementedError

    def test_whatever_happens_is_taken(self) -> None:
        telemetry = self.telemetry()
        for step in (ROOT, a_full_step(), settled(ROOT, 2_000)):
            for tell in (telemetry.started, telemetry.settled, telemetry.reopened, telemetry.deferred):
                tell(step)
            telemetry.owner_lost(step)
        for lag_ms in (0, 1, 10**9):
            telemetry.lagged(lag_ms)

    @pytest.mark.parametrize("outcome", [*OutcomeKind, None])
    @pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.RETRYING, Status.FAILED])
    def test_every_outcome_of_an_attempt_is_taken(
        self, outcome: OutcomeKind | None, status: Status
    ) -> None:
        attempt = Attempt(number=1, generation=1, started_at_ms=1_000, outcome=outcome)
        self.telemetry().attempt_ended(a_root(status=status), attempt)


class CountingContract(TelemetryContract):
    """For implementations that count. Define `counted` as well."""

    def counted(self, telemetry: Telemetry) -> dict[str, float]:
        """The counts of `starts`, `succeeded` attempts, `retries`, `dead` letters and deferred steps."""
        raise NotImplementedError

    def test_what_happened_is_counted(self) -> None:
        telemetry = self.telemetry()
        attempt = Attempt(number=1, generation=1, started_at_ms=1_000, outcome=OutcomeKind.SUCCEEDED)
        done, failed = settled(ROOT, 2_000), a_root(status=Status.FAILED)
        for _ in range(3):
            telemetry.started(ROOT)
            telemetry.attempt_ended(done, attempt)
            telemetry.settled(done)
        telemetry.attempt_ended(a_root(status=Status.RETRYING), replace(attempt, outcome=None))
        for _ in range(2):
            telemetry.settled(failed)
        telemetry.deferred(ROOT)
        counted = {"starts": 3, "succeeded": 3, "retries": 1, "dead": 2, "deferred": 1}
        assert self.counted(telemetry) == counted
