"""The log line of an unsuccessful attempt has the kind of its error, and not the endpoint's text."""

import logging
from dataclasses import replace

import pytest

from atomic.adapters.prometheus.telemetry import PrometheusTelemetry
from atomic.adapters.system import LoggedTelemetry
from atomic.domain.outcomes import StepError
from atomic.protocol.enums import Status
from atomic.protocol.error_kinds import ErrorKind
from unit.strategies import GONE, NOW, PERMANENT, ended, running


def test_the_kind_of_the_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "atomic.steps")
    step = ended(running(), PERMANENT, NOW)
    LoggedTelemetry(PrometheusTelemetry()).attempt_ended(step, step.attempt_log[-1])
    [line] = caplog.records
    assert vars(line)["errorKind"] == "endpoint_answered"
    assert vars(line)["status"] == 410
    assert GONE.excerpt not in map(str, vars(line).values())


def test_a_step_that_failed_is_logged_with_its_own_error(caplog: pytest.LogCaptureFixture) -> None:
    error = StepError(ErrorKind.DEADLINE_OVER, "9", last=GONE)
    step = replace(ended(running(), PERMANENT, NOW), status=Status.FAILED, error=error)
    LoggedTelemetry(PrometheusTelemetry()).settled(step)
    [line] = caplog.records
    assert vars(line)["errorKind"] == "deadline_over"
