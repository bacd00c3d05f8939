"""The cases of batches and sagas on Atomic in memory: `atomic.testing` behaves as the other runtimes do."""

import pytest

from sdk.cases import batches, cancels, cancels_again, child_runs, sagas
from sdk.matrix import Case, cases_named, run
from sdk.test_starlette import decorated

MODULES = {module.__name__ for module in (batches, cancels, cancels_again, child_runs, sagas)}
CASES = [case for case in cases_named("case_") if case.__module__ in MODULES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("case_"))
def test_memory(case: Case, memory_url: str) -> None:
    run(case, decorated, memory_url)
