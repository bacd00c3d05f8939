"""Atomic: durable workflows made of plain HTTP endpoints.

The names of `atomic.sdk` can be had from here as well. They are imported when they are first asked for: the
server needs none of them.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from atomic.sdk import *  # noqa: F403 - the list of names is the SDK's
else:
    # Type checkers do not see it: to them, a name that is not on the list is an error.
    def __getattr__(name: str) -> object:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import atomic.sdk

        names = [*atomic.sdk.__all__, "__version__"]
        if name not in {"__all__", *names}:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = names if name == "__all__" else getattr(atomic.sdk, name)
        return value
