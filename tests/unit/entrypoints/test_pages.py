"""Raw paths, which no client has normalised: none leads out of the folder of static files."""

import asyncio
import gzip
import re
from typing import Any, cast

import pytest

from atomic.dashboard.files import version
from atomic.entrypoints.http_api.api import Api
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.routes import handle


def answer_of(path: str, **headers: str) -> ApiResponse:
    """The answer to a GET of the path; pages need no engine."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    api: Any = Api(engine=cast("Any", None))
    return asyncio.run(handle(api, ApiRequest(method="GET", path=path, headers=given)))


def status_of(path: str) -> int:
    """The status of a GET of the path."""
    return answer_of(path).status


@pytest.mark.parametrize(
    "path", ["main.js", "icon.svg", "views/runs.js", "styles/tokens.css", "vendor/htm-license.txt"]
)
def test_files_of_the_dashboard_are_served(path: str) -> None:
    assert status_of(f"/static/{path}") == 200


@pytest.mark.parametrize(
    "path",
    [
        "..", ".", "../__init__.py", "./main.js", "views/../main.js", "views", "views/", "/main.js",
        "..\\__init__.py", "v0123456789abcdef/..", "v0123456789abcdef", "v0123456789abcdef/views",
        "views/..\\main.js", "main.js\n", "main.js\0", ".hidden", "//etc", "C:main.js",
    ],
)  # fmt: skip
def test_nothing_else_is(path: str) -> None:
    assert status_of(f"/static/{path}") == 404


def test_the_page_names_its_files_by_their_version_and_they_are_kept() -> None:
    page = answer_of("/dashboard")
    assert page.headers["cache-control"] == "no-cache"
    paths = re.findall(r'"(/static/[^"]+)"', page.body.decode())
    assert len(paths) == 3
    for path in paths:
        kept = answer_of(path, accept_encoding="gzip")
        plain = answer_of(path.replace(f"/{version()}/", "/"))
        assert gzip.decompress(kept.body) == plain.body
        assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert plain.headers["cache-control"] == "no-cache"


def test_the_version_of_another_server_is_answered_and_not_kept() -> None:
    other = answer_of("/static/v0123456789abcdef/core/api.js")
    assert (other.status, other.headers["cache-control"]) == (200, "no-cache")
