"""Atomic inside a test: the whole engine in one process, in virtual time, without network or disk.

from atomic.testing import LocalAtomic, run

async def main() -> None:
    async with LocalAtomic() as atomic:
        url = atomic.endpoint("/mail", send_mail)
        reply = await atomic.post("/me", {"workflowName": "mail", "stepInvokeUrl": url, ...})

run(main())     # a retry in six hours takes no time at all
"""

from atomic.testing.endpoints import EndpointCall, EndpointReply
from atomic.testing.local import ApiReply, LocalAtomic
from atomic.testing.virtual_time import VirtualTimeLoop, run

__all__ = ["ApiReply", "EndpointCall", "EndpointReply", "LocalAtomic", "VirtualTimeLoop", "run"]
