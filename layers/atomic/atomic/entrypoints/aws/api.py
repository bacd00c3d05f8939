"""The API function: answers events by the routes of `http_api`.

The events are those of an HTTP API and of function URLs: both have the payload format 2.0.
"""

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
# The beginning of the paths whose callers sign with credentials of AWS.
_SIGNED: Final = "/iam"

# A part of the names that Lambda gives to function URLs.
_OF_FUNCTION_URLS: Final = ".lambda-url."


class ApiFunction:
    """The Lambda handler. Its constructor prepares all that is needed before the first event."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.runtime = AwsRuntime(environ)
        self._api = Api(
            engine=self.runtime.engine,
            estimated_usd=estimated_usd,
            manage=self.runtime.manage,
            links=self.runtime.settings.links,
        )

    def __call__(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Answer one request."""
        self._learn_steps_url(event)
        response = self.runtime.run(self._answer(event))
        is_head = event["requestContext"]["http"]["method"] == "HEAD"
        return gateway_response(replace(response, body=b"") if is_head else response)

    def _learn_steps_url(self, event: Mapping[str, Any]) -> None:
        """Name the function URL at which handlers post their steps, when it is this function's own.

        A template cannot tell a function its own URL, which is made after the function.
        """
        domain = event["requestContext"].get("domainName", "")
        settings = self._api.engine.settings
        if _OF_FUNCTION_URLS in domain and not settings.steps_url and event["rawPath"].endswith("/steps"):
            settings = replace(settings, steps_url=f"https://{domain}")
            self._api = replace(self._api, engine=replace(self._api.engine, settings=settings))

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
    # Only the gateway writes this, on the routes for which it has checked the caller's signature.
    authorizer = event["requestContext"].get("authorizer") or {}
    caller = (authorizer.get("iam") or {}).get("userArn") or ""
    path = unquote(event["rawPath"])
    http = event["requestContext"]["http"]
    return ApiRequest(
        method=http["method"],
        path=path.removeprefix(_SIGNED) if caller else path,
        caller=caller,
        source=http.get("sourceIp", ""),
        request_id=event["requestContext"].get("requestId", ""),
        query=event.get("rawQueryString", ""),
        headers={name.lower(): value for name, value in event.get("headers", {}).items()},
        body=base64.b64decode(body) if event.get("isBase64Encoded") else body.encode(),
    )


def gateway_response(response: ApiResponse) -> dict[str, Any]:
    """The response in the gateway's format. All bodies of this API are text, or text that is compressed."""
    is_compressed = "content-encoding" in response.headers
    body = base64.b64encode(response.body) if is_compressed else response.body
    return {
        "statusCode": response.status,
        "headers": dict(response.headers),
        "body": body.decode(),
        "isBase64Encoded": is_compressed,
    }
