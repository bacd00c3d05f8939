"""How an answer travels: an `ETag` for what a reader has already, and gzip for what is long.

A reader that sends the tag of its last answer (`If-None-Match`) gets 304 without a body while that answer
is still right. Nothing is kept for it: the tag is computed of the body. Starts are posts, whose path is
short, so what answers a post does not come here.
"""

import asyncio
import gzip
import hashlib
from dataclasses import replace
from typing import Final

from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse

# What fits a packet arrives no sooner.
_COMPRESSED_FROM_BYTES: Final = 1_400
# It takes some milliseconds to compress more, which other callers would wait for.
_IN_A_THREAD_FROM_BYTES: Final = 64 * 1_024
# 1 is twice as fast as 6, and the document of a run gets a fifth longer.
_LEVEL: Final = 1
_TEXTS: Final = ("application/json", "application/x-ndjson", "text/", "image/svg+xml")
_NEVER: Final = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})
_READS: Final = frozenset({"GET", "HEAD"})


async def delivered(request: ApiRequest, response: ApiResponse) -> ApiResponse:
    """The response as this reader gets it: with a tag, as 304 if it has it, or compressed."""
    if request.method not in _READS or response.status != 200 or not response.body:
        return response
    body = response.body
    is_long = len(body) >= _IN_A_THREAD_FROM_BYTES
    tag = response.headers.get("etag") or _tag_of(body)
    tagged = replace(response, headers={**response.headers, "etag": tag})
    if _has(request, tag):
        return _not_modified(tagged)
    if not _may_compress(request, tagged):
        return tagged
    packed = await asyncio.to_thread(_compressed, body) if is_long else _compressed(body)
    vary = ", ".join(filter(None, (response.headers.get("vary"), "Accept-Encoding")))
    return replace(
        tagged, body=packed, headers={**tagged.headers, "content-encoding": "gzip", "vary": vary}
    )


def takes_gzip(request: ApiRequest) -> bool:
    """Whether the reader takes answers by gzip."""
    accepted = [each.partition(";") for each in request.headers.get("accept-encoding", "").split(",")]
    return any(name.strip() == "gzip" and more.strip() not in _NEVER for name, _, more in accepted)


def _tag_of(body: bytes) -> str:
    # Weak, because the compressed answer has the same tag (RFC 9110, 8.8.1).
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _has(request: ApiRequest, tag: str) -> bool:
    """Whether the reader has the answer with this tag."""
    given = request.headers.get("if-none-match", "")
    return tag.removeprefix("W/") in (each.strip().removeprefix("W/") for each in given.split(","))


def _not_modified(response: ApiResponse) -> ApiResponse:
    kept = {name: value for name, value in response.headers.items() if name != "content-type"}
    return replace(response, status=304, body=b"", headers=kept)


def _may_compress(request: ApiRequest, response: ApiResponse) -> bool:
    """Whether it is a long text that is not compressed yet, and the reader takes gzip."""
    is_text = response.headers.get("content-type", "").startswith(_TEXTS)
    is_plain = "content-encoding" not in response.headers
    return is_text and is_plain and len(response.body) >= _COMPRESSED_FROM_BYTES and takes_gzip(request)


def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
