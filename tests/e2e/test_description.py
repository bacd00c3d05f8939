"""What the API says of itself, tried with what fits and what does not; `make schemathesis` tries more."""

import copy
from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from atomic.entrypoints.embedded import operators
from atomic.entrypoints.http_api.openapi import openapi
from atomic.protocol import keys
from scenarios.embedded_home import AtomicServer, post_json

CLIENT, KEY = "fuzzed", {"workflowName": "w", "idempotencyKey": "k"}
RUN_ID: Final = keys.run_id(CLIENT, KEY["workflowName"], KEY["idempotencyKey"])
KNOWN: Final = {"clientId": [CLIENT], "runId": [RUN_ID], "stepId": [keys.root_of(RUN_ID)]}
CHECKS: Final = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


def described() -> Any:
    """The description, but paths lead to what is there as often as to nothing."""
    document = copy.deepcopy(openapi())
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["name"] in KNOWN:
                    known = {"enum": KNOWN[parameter["name"]]}
                    is_client = parameter["name"] == "clientId"
                    parameter["schema"] = known if is_client else {"anyOf": [known, parameter["schema"]]}
    return schemathesis.openapi.from_dict(document)


schema = described()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A locked server's URL, and the headers by which everything is open."""
    data_dir = tmp_path_factory.mktemp("described") / "data"
    with operators.admin(data_dir) as admin:
        scopes = ("start", "read", "act", "admin")
        api_key, _ = admin.create(CLIENT, base_urls=["http://127.0.0.1:9/"], scopes=scopes)
    server = AtomicServer(data_dir, dev=False)
    server.start()
    headers = {"Authorization": f"Bearer {api_key}"}
    document = {**KEY, "kind": "timer", "stepName": "t", "delay": 0}
    assert post_json(f"{server.url}/{CLIENT}", document, headers=headers)[0] == 200
    yield server.url, headers
    assert server.stop() == 0


@schema.parametrize()
@settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_described(case: Any, home: tuple[str, dict[str, str]]) -> None:
    url, headers = home
    # Nobody waits for what a random document started.
    response = case.call(base_url=url, headers={**headers, "Prefer": "wait=0"})
    case.validate_response(response, checks=CHECKS)
