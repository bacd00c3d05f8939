"""Tells systemd when the server is ready and when it stops (sd_notify(3), `Type=notify`)."""

import logging
import os
import socket
from typing import Final

_log = logging.getLogger("atomic.server")

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def tell_supervisor(state: str) -> None:
    """Send the state to the socket that `NOTIFY_SOCKET` names; without that variable, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket (unix(7))
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying:
            notifying.sendto(state.encode(), address)
    except OSError as error:
        # A unit that waits for the state fails at its own time-out, and its log then has this line.
        _log.warning("the supervisor cannot be told", exc_info=error)
