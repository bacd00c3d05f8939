"""The options of a start by a client."""

from atomic.sdk._wire.api import StepOptions
from atomic.sdk.singles import Debounce, Singleton


class StartOptions(StepOptions, total=False):
    """Options of the root of a run: those of a step, and the key that it shares with other runs."""

    singleton: Singleton
    debounce: Debounce
