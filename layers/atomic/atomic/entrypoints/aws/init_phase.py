"""What differs while Lambda initialises an environment, before its first event."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def init_phase() -> Iterator[None]:
    """Import and create what stays as long as the environment, without a search for garbage in it.

    The collector would look through all new objects again and again, a tenth of the CPU of an import, and
    find next to nothing. It starts afterwards, and leaves out what exists by then.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
