"""A call as Atomic makes it, and a function that is hard to serve."""

from dataclasses import dataclass
from typing import Any

from atomic import Call


def call_of(url: str) -> Call:
    """The first call of a run's root step."""
    return Call(
        run_id="run_1", step_id="run_1-root", workflow_name="w", idempotency_key="k", attempt=1, url=url
    )


@dataclass
class Unhashable:
    """A function without a hash: equal objects of a dataclass may change."""

    def __call__(self, *given: Any) -> bool:
        return True
