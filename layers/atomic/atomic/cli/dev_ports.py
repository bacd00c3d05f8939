"""On which port a program listens, as Linux tells it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

# State of a listening socket in /proc/net/tcp (include/net/tcp_states.h of Linux).
_LISTEN: Final = "0A"


def listening_port(pid: int) -> int | None:
    """A TCP port on which the process, or one that it started, listens; None while there is none.

    0 where that cannot be found out: it needs the files of Linux in /proc.
    """
    if not Path("/proc/net/tcp").exists():
        return 0
    sockets = {link for each in _family(pid) for link in _sockets(each)}
    ports = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in sockets:
                    ports.append(int(fields[1].rpartition(":")[2], 16))
    return min(ports, default=None)


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _sockets(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield os.readlink(link)
