"""A short run on every application server, with defaults; `make servers RUNS=2000` makes a long one."""

import asyncio

import pytest

from scenarios.embedded_runtime import AtomicServer
from servers.kinds import KINDS, serving
from servers.orders import order
from servers.redeploy import redeploy

RUNS, CALLERS = 32, 16
# The number of callers of servers that handle one request at a time.
FEW = 4
WITHIN_S = 90


@pytest.mark.parametrize("name", KINDS)
def test_every_run_succeeds(server: AtomicServer, name: str) -> None:
    kind = KINDS[name]

    async def main(url: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            done = await order(server.url, url, runs=RUNS, callers=FEW if kind.is_small else CALLERS)
        assert done.calls.total() == RUNS

    with serving(kind, server.url) as (_, url):
        asyncio.run(main(url))


def test_a_redeployed_application_loses_nothing(server: AtomicServer) -> None:
    kind = KINDS["gunicorn --threads 64"]
    assert asyncio.run(redeploy(server.url, kind, starts=40, down_s=3)) > 3
