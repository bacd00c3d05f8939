"""Raw paths, which no client has normalised: none leads out of the folder of static files."""

import asyncio
from typing import Any, cast

import pytest

from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest
from atomic.entrypoints.http_api.routes import handle


def status_of(path: str) -> int:
    """The status of a GET of the path; pages need no engine."""
    request = ApiRequest(method="GET", path=path, query="", headers={}, body=b"")
    api: Any = Api(engine=cast("Any", None))
    return asyncio.run(handle(api, request)).status


@pytest.mark.parametrize(
    "path", ["main.js", "icon.svg", "views/runs.js", "styles/tokens.css", "vendor/htm-license.txt"]
)
def test_files_of_the_dashboard_are_served(path: str) -> None:
    assert status_of(f"/static/{path}") == 200


@pytest.mark.parametrize(
    "path",
    [
        "..", ".", "../__init__.py", "./main.js", "views/../main.js", "views", "views/", "/main.js",
        "..\\__init__.py", "views/..\\main.js", "main.js\n", "main.js\0", ".hidden", "//etc", "C:main.js",
    ],
)  # fmt: skip
def test_nothing_else_is(path: str) -> None:
    assert status_of(f"/static/{path}") == 404
