"""Start, attach, read and cancel of one key are linearizable."""

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from reliability.histories import BAD, GOOD
from reliability.linearizability import Operation, is_linearizable
from reliability.recorded import record_many
from scenarios.embedded_runtime import AtomicServer, runtime_on

HISTORIES = int(os.environ.get("HISTORIES", "300"))


@pytest.mark.parametrize("name", GOOD)
def test_a_right_history_is_accepted(name: str) -> None:
    assert is_linearizable(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_a_planted_history_is_rejected(name: str) -> None:
    assert not is_linearizable(BAD[name])


def test_there_are_enough_planted_histories() -> None:
    assert len(BAD) >= 25


def test_what_a_real_server_does_is_linearizable(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    server = AtomicServer(tmp_path / "data")
    server.start()

    async def main() -> list[list[Operation]]:
        async with runtime_on(server) as runtime:
            return await asyncio.wait_for(record_many(runtime, HISTORIES, seed), HISTORIES)

    histories = asyncio.run(main())
    assert server.stop() == 0
    began = time.monotonic()
    wrong = [history for history in histories if not is_linearizable(history)]
    print(f"{_summary(histories)}; checked in {time.monotonic() - began:.1f} s")
    assert not wrong, f"{len(wrong)} wrong, one of them:\n" + "\n".join(map(str, wrong[0]))


def _summary(histories: list[list[Operation]]) -> str:
    operations = [operation for history in histories for operation in history]
    pending = sum(operation.result is None and operation.kind != "answer" for operation in operations)
    longest = max(map(len, histories))
    return f"{len(histories)} histories, {len(operations)} operations, {pending} pending, longest {longest}"
