"""The options of a start by a client."""

from typing import Any

from atomic.sdk._wire.api import StepOptions
from atomic.sdk.singles import Debounce, Singleton, shared_members


class StartOptions(StepOptions, total=False):
    """Options of the root of a run: those of a step, and those that only a run has.

    `singleton` or `debounce` is the key that it shares with other runs; `paused` says that it is paused
    from its start.
    """

    singleton: Singleton
    debounce: Debounce
    paused: bool


def members_of_root(options: StartOptions) -> dict[str, Any]:
    """The members of a start that only the root of a run has. Raises InvalidRequestError."""
    return shared_members(options) | ({"paused": options["paused"]} if "paused" in options else {})
