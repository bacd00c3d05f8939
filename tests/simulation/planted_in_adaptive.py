"""Bugs to plant in adaptive limits. Each replaces one function."""

from typing import Final

from atomic.application.adaptive import Adaptive, UnderWay
from atomic.domain.adaptive import Concurrency
from atomic.domain.steps import StepSpec
from simulation.planted import Patch

_leave = Adaptive.leave


def _keep_permit(adaptive: Adaptive, attempt: UnderWay) -> None:
    """The permit of an attempt that ended without an answer does not come back."""
    if attempt.has_ended:
        _leave(adaptive, attempt)


def _resume_nobody(adaptive: Adaptive, origin: object) -> None:
    return None


def _never_raise(limit: Concurrency, now_s: float) -> bool:
    return False


def _know_nobody(adaptive: Adaptive, spec: StepSpec) -> UnderWay | None:
    return None


PLANTED_IN_ADAPTIVE: Final[dict[str, list[Patch]]] = {
    "a permit is lost with an attempt that was not made": [(Adaptive, "leave", _keep_permit)],
    "the end of an attempt resumes nobody": [(Adaptive, "_fill", _resume_nobody)],
    "a limit is never raised again": [(Concurrency, "_try_to_raise", _never_raise)],
    "a run waits for its own permit": [(Adaptive, "_above", _know_nobody)],
}
