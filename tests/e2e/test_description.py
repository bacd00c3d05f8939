"""The API fuzzed against its description, with valid and invalid requests, on both runtimes, with API keys.

`make schemathesis CASES=200` runs more cases, and prints the statuses.
"""

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from random import randrange
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from both_runtimes import RUNTIMES
from described.furnished import Fuzzed, furnished
from described.known import described

# The minimum of cases per operation and runtime. With CASES, the boundary values of schemas come on top.
CASES: Final = int(os.environ.get("CASES", "10"))
_THOROUGH: Final = "CASES" in os.environ
CHECKS: Final = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
# A busy machine must not fail the test; the fuzzer's default of 10 s is too short beside other tests.
_PATIENCE_S: Final = 60
# These headers change or break the framing, so the HTTP parser refuses the request before the API sees it.
_FRAMING: Final = frozenset(
    ("connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade")
)
# Waiting would test nothing here.
_WAIT_MAX_MS: Final = 1

schema = schemathesis.openapi.from_dict(described())
schema.config.seed = int(os.environ.get("SEED") or (randrange(2**32) if _THOROUGH else 0))
schema.config.phases.coverage.enabled = _THOROUGH
# 504 means that the caller's wait is over; any other 5xx is an error.
schema.config.checks.not_a_server_error.expected_statuses = ["2xx", "3xx", "4xx", "504"]


@pytest.fixture(scope="module")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print the progress of a long campaign."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", end="", flush=True, file=sys.__stdout__)

    return say if _THOROUGH and capture else lambda _line: None


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]
) -> Iterator[Fuzzed]:
    say(f"{request.param}: {CASES} cases of each operation, SEED={schema.config.seed}")
    with (
        RUNTIMES[request.param](tmp_path_factory.mktemp("described")) as opened,
        furnished(opened) as filled,
    ):
        yield filled


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Disable the cyclic garbage collector while cases are drawn.

    Hypothesis parses source code meanwhile. In Python 3.11, `ast.parse` raises SystemError if the collector
    runs code that parses as well. It does when a future with an unretrieved error is collected, because
    logging the traceback parses source code.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def answered(request: pytest.FixtureRequest, say: Callable[[str], None]) -> Iterator[Counter[int]]:
    """How often each status was the answer to this operation."""
    answered: Counter[int] = Counter()
    yield answered
    statuses = ", ".join(f"{status}: {times}" for status, times in sorted(answered.items()))
    say(f"{answered.total():6} {request.node.name.partition('[')[2].partition(']')[0]:55} {statuses}")
    assert answered.total() >= CASES


@schema.parametrize()
@settings(
    max_examples=CASES,
    print_blob=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_described(case: Any, runtime: Fuzzed, answered: Counter[int]) -> None:
    if "wait" in (case.query or {}) and str(case.query["wait"]).isdigit():
        case.query["wait"] = min(int(case.query["wait"]), _WAIT_MAX_MS)
    for name in [name for name in case.headers or {} if name.lower() in _FRAMING]:
        del case.headers[name]
    # The first instance counts.
    prefer = f"wait=0, {(case.headers or {}).get('Prefer', '')}"
    response = case.call(
        base_url=runtime.url, session=runtime.session, headers={"Prefer": prefer}, timeout=_PATIENCE_S
    )
    answered[response.status_code] += 1
    created, changed = response.status_code == HTTPStatus.CREATED, case.method in {"DELETE", "PATCH", "PUT"}
    if created or (changed and response.status_code == HTTPStatus.OK):
        runtime.restore()
    case.validate_response(response, checks=CHECKS)
