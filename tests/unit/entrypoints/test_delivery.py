"""How answers travel: tags, 304, gzip."""

import gzip

import pytest

from atomic.entrypoints.http_api.delivery import delivered
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.testing import run

JSON = {"content-type": "application/json"}
LONG = b'{"a": "' + b"x" * 5_000 + b'"}'


def sent(response: ApiResponse, method: str = "GET", **headers: str) -> ApiResponse:
    """The response as a reader gets it who sends these headers."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return run(delivered(ApiRequest(method=method, path="/me/runs", headers=given), response))


def test_a_reader_with_the_tag_gets_no_body() -> None:
    answer = ApiResponse(status=200, body=LONG, headers=JSON)
    tag = sent(answer).headers["etag"]
    for given in (tag, f'"other", {tag}', tag.removeprefix("W/")):
        same = sent(answer, if_none_match=given, accept_encoding="gzip")
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    other = sent(ApiResponse(status=200, body=b"{}", headers=JSON), if_none_match=tag)
    assert (other.status, other.body) == (200, b"{}")


@pytest.mark.parametrize("size", [5_000, 200_000])
def test_a_long_text_is_compressed_for_those_who_take_it(size: int) -> None:
    body = b'"' + b"x" * size + b'"'
    answer = ApiResponse(status=200, body=body, headers={**JSON, "vary": "Origin"})
    packed = sent(answer, accept_encoding="br, gzip;q=0.8")
    assert gzip.decompress(packed.body) == body
    assert len(packed.body) < size / 20
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == (
        "gzip",
        "Origin, Accept-Encoding",
    )
    for taken in ("", "br", "gzip;q=0", "gzip;q=0.000"):
        plain = sent(answer, accept_encoding=taken)
        assert plain.body == body
        assert "content-encoding" not in plain.headers


def test_what_is_short_or_no_text_or_no_read_stays_as_it_is() -> None:
    short = ApiResponse(status=200, body=b"{}", headers=JSON)
    image = ApiResponse(status=200, body=LONG, headers={"content-type": "image/png"})
    for answer in (short, image):
        assert sent(answer, accept_encoding="gzip").body == answer.body
    for status, method in ((404, "GET"), (200, "POST")):
        answer = ApiResponse(status=status, body=LONG, headers=JSON)
        assert sent(answer, method, accept_encoding="gzip") == answer
