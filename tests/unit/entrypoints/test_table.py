"""Which routes a path may fit: a fixed path is never taken for a client."""

import pytest

from atomic.entrypoints.http_api.api import Table
from atomic.entrypoints.http_api.routes import ROUTES

TABLE = Table(ROUTES)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/health", "/health"),
        ("/clients", "/clients"),
        ("/shop", "/{clientId}"),
        ("/shop/steps", "/{clientId}/steps"),
        ("/shop/workflows/a/b/retention", "/{clientId}/workflows/{workflowName}/retention"),
    ],
)
def test_the_first_template_that_fits_a_path(path: str, template: str) -> None:
    assert next(route.template for route, pattern in TABLE.of(path) if pattern.fullmatch(path)) == template


def test_a_post_to_a_client_looks_at_no_other_route() -> None:
    assert {route.template for route, _ in TABLE.of("/shop")} == {"/{clientId}"}
