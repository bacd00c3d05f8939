"""The API function: answers HTTP API events (payload format 2.0) by the routes of `http_api`."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

from atomic.entrypoints.aws.prices import estimated_usd
from atomic.entrypoints.aws.wiring import AwsRuntime
from atomic.entrypoints.http_api.api import Api, unavailable
from atomic.entrypoints.http_api.http import ApiRequest, ApiResponse
from atomic.entrypoints.http_api.routes import handle

# The gateway ends each request after 30 s (HTTP API quotas), and the answer needs time to arrive.
_ANSWER_WITHIN_S: Final = 28.0


class ApiFunction:
    """The Lambda handler. Its constructor prepares all that is needed before the first event."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.runtime = AwsRuntime(environ)
        self._api = Api(
            engine=self.runtime.engine,
            estimated_usd=estimated_usd,
            manage=self.runtime.manage,
        )

    def __call__(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Answer one request."""
        response = self.runtime.run(self._answer(event))
        is_head = event["requestContext"]["http"]["method"] == "HEAD"
        return gateway_response(replace(response, body=b"") if is_head else response)

    async def _answer(self, event: dict[str, Any]) -> ApiResponse:
        try:
            async with asyncio.timeout(self._left_s()):
                response = await handle(self._api, api_request(event))
        except TimeoutError:
            # AWS was slow after a long wait. Answer before the gateway's limit.
            response = unavailable()
        # A first attempt may outlast its caller. Lambda would freeze it when this function returns.
        await self.runtime.tasks.quiet(self._left_s())
        return response

    def _left_s(self) -> float:
        return _ANSWER_WITHIN_S - self.runtime.elapsed_s()


def api_request(event: Mapping[str, Any]) -> ApiRequest:
    """The request in an event."""
    body = event.get("body") or ""
    return ApiRequest(
        method=event["requestContext"]["http"]["method"],
        path=unquote(event["rawPath"]),
        query=event.get("rawQueryString", ""),
        headers={name.lower(): value for name, value in event.get("headers", {}).items()},
        body=base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(),
    )


def gateway_response(response: ApiResponse) -> dict[str, Any]:
    """The response in the gateway's format. All bodies of this API are text."""
    return {
        "statusCode": response.status,
        "headers": dict(response.headers),
        "body": response.body.decode(),
        "isBase64Encoded": False,
    }
