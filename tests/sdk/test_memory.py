"""The cases of durable execution on Atomic in memory: `atomic.testing` behaves as the other runtimes do."""

from collections.abc import Iterator

import pytest

from sdk.cases import batches, durable, durable_batches, sagas
from sdk.matrix import Case, cases_named, run
from sdk.memory_server import memory_server
from sdk.test_starlette import decorated

MODULES = {module.__name__ for module in (batches, durable, durable_batches, sagas)}
CASES = [case for case in cases_named("case_") if case.__module__ in MODULES]


@pytest.fixture(scope="module")
def memory_url() -> Iterator[str]:
    with memory_server() as url:
        yield url


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("case_"))
def test_memory(case: Case, memory_url: str) -> None:
    run(case, decorated, memory_url)
