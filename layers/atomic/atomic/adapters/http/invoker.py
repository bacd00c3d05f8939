"""The endpoint invoker on aiohttp: one pooled session, all bounded, nothing from the environment."""

import ssl

import aiohttp
from yarl import URL

from atomic.application.ports import EndpointRequest
from atomic.domain.outcomes import Answer
from atomic.protocol.limits import RESPONSE_MAX_BYTES

# Servers close idle connections after 5 s (uvicorn, Node) and a call sent into the closing one fails, so
# ours are given up before that.
_IDLE_S = 4.0
_ERROR_MAX_CHARS = 300


class HttpInvoker:
    """Makes attempts. Create it inside a running event loop, close it when no attempt is left."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            # No limit: a workflow holds its connection while it waits for its steps, and a bounded pool
            # would starve them.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("User-Agent",),
            headers={"User-Agent": "atomic"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def post(self, request: EndpointRequest) -> Answer:
        """Make one attempt; ends within the request's total time whatever the far side does."""
        timeout = aiohttp.ClientTimeout(total=request.timeout_ms / 1000)
        try:
            async with self._session.post(
                # As it was given: a signed URL must not be spelled anew.
                URL(request.url, encoded=True),
                data=request.body,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                return await _read(response)
        except TimeoutError:
            error = f"timeout: no whole answer within {request.timeout_ms} ms"
            return Answer(error=error, timed_out=True)
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as failure:
            return Answer(error=_describe(failure))


async def _read(response: aiohttp.ClientResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    length = response.content_length
    too_large = length is not None and length > RESPONSE_MAX_BYTES
    body = b"" if too_large else await _read_bounded(response.content)
    too_large = too_large or len(body) > RESPONSE_MAX_BYTES
    if too_large:
        # The rest of it must not be read, so the connection is of no further use.
        response.close()
        body = b""
    return Answer(status=response.status, headers=headers, body=body, too_large=too_large)


async def _read_bounded(stream: aiohttp.StreamReader) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while size <= RESPONSE_MAX_BYTES:
        chunk = await stream.readany()
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _describe(failure: Exception) -> str:
    if isinstance(failure, aiohttp.ClientConnectorError) and failure.os_error.strerror:
        return f"network: cannot connect: {failure.os_error.strerror}"[:_ERROR_MAX_CHARS]
    text = " ".join(str(failure).split()) or "no details"
    return f"network: {type(failure).__name__}: {text}"[:_ERROR_MAX_CHARS]
