"""Resources that this machine may lack for a call. That is no failure of the endpoint."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from atomic.adapters.http.gate import NotDialled
from atomic.protocol.error_kinds import ErrorKind

_LACKS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@contextmanager
def own_lack() -> Iterator[None]:
    """Make NotDialled of errors that say that file descriptors, memory or threads are used up."""
    try:
        yield
    except OSError as failure:
        if failure.errno in _LACKS:
            raise NotDialled(ErrorKind.RESOURCES_EXHAUSTED, os.strerror(failure.errno)) from failure
        raise
    except RuntimeError as failure:
        # What `Thread.start` raises.
        if "thread" in str(failure):
            raise NotDialled(ErrorKind.RESOURCES_EXHAUSTED, "no more threads") from failure
        raise
