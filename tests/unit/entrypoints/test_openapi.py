"""The description of the API: valid, complete, and the same as the committed copy."""

import json
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from atomic.entrypoints.http_api.openapi import openapi
from atomic.entrypoints.http_api.routes import ROUTES
from atomic.protocol import problems

ROOT = Path(__file__).parents[3]
REGENERATE = "python -m atomic.entrypoints.http_api.openapi > docs/openapi.json"


def test_the_committed_copy_is_what_is_served() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert committed == openapi(), f"run: {REGENERATE}"


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(openapi()).validate()


def test_each_route_is_described_but_for_the_files_of_the_pages() -> None:
    left_out = {route.template for route in ROUTES if route.operation is None}
    files = {"/static/{file}", "/static/{folder}/{file}", "/static/{version}/{folder}/{file}"}
    assert left_out == files
    assert len({(route.method, route.template) for route in ROUTES}) == len(ROUTES)
    names = [route.operation.id for route in ROUTES if route.operation]
    assert len(set(names)) == len(names)


def test_each_kind_of_refusal_is_named_where_it_may_come() -> None:
    described = {refusal for route in ROUTES for refusal in route.refusals}
    # Any path may be requested with a wrong method, and any request may hit a bug.
    # The first two may answer any request; the others any request of a browser that another site caused.
    anywhere = {
        problems.METHOD_NOT_ALLOWED, problems.INTERNAL, problems.FOREIGN_ORIGIN, problems.MISDIRECTED,
        problems.FOREIGN_CALLER,  # in development alone, and any request
    }  # fmt: skip
    assert described == set(problems.ALL) - anywhere


def test_each_member_of_a_schema_is_used() -> None:
    document = openapi()
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text
