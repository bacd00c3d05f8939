"""Atomic inside a test: the whole engine in one process, in virtual time, without network or disk.

from atomic.testing import LocalAtomic, run

async def main() -> None:
    async with LocalAtomic() as atomic:
        atomic.serve(app)                                # FastAPI, Flask, Django, Lambda, ...
        atomic.answer("mail", {"sent": True})            # in place of a step
        order = await atomic.run("order", {"total": 7})  # three days of sleep take no time
        assert order.steps["mail"].attempts == 1

run(main())

For pytest there are fixtures: `pytest_plugins = ["atomic.testing.pytest_plugin"]`.
"""

from atomic.testing.endpoints import ApiReply, EndpointCall, EndpointReply
from atomic.testing.fakes import Answers
from atomic.testing.local import LocalAtomic
from atomic.testing.runs import Run, Steps
from atomic.testing.stories import NotReachedError
from atomic.testing.virtual_time import NothingLeftError, VirtualTimeLoop, run
from atomic.testing.watching import DifferentReplayError, NoProgressError

__all__ = [
    "Answers",
    "ApiReply",
    "DifferentReplayError",
    "EndpointCall",
    "EndpointReply",
    "LocalAtomic",
    "NoProgressError",
    "NotReachedError",
    "NothingLeftError",
    "Run",
    "Steps",
    "VirtualTimeLoop",
    "run",
]
