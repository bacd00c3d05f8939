"""Which routes a path has: a fixed path is never taken for a client."""

import pytest

from atomic.entrypoints.http_api.routes import TABLE


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
    assert {route.template for route, _ in TABLE.owners(path)} == {template}
