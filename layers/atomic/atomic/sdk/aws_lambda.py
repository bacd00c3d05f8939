"""Endpoints on AWS Lambda behind an HTTP API or a function URL (event format 2.0).

`Endpoints("/orders")` is the Lambda handler of many functions, which it tells apart by the path.
`@workflow` or `@step` above a function makes it the handler itself.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from atomic.sdk import _handler
from atomic.sdk._answers import Response, not_found
from atomic.sdk._context import Call
from atomic.sdk._endpoints import BaseEndpoints
from atomic.sdk._handler import Decorator, Endpoint
from atomic.sdk._waits import ENVIRONMENT_S
from atomic.sdk.context import AsyncContext, Context

__all__ = ["AsyncContext", "Call", "Context", "Endpoints", "step", "workflow"]

View = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def _view(endpoint: Endpoint) -> View:
    def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        del context
        return _answered(endpoint.answer_sparingly(_asked(event), ENVIRONMENT_S))

    return handler


def _asked(event: Mapping[str, Any]) -> _handler.Request:
    text = event.get("body") or ""
    body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    url = f"https://{event['requestContext']['domainName']}{event['rawPath']}"
    return _handler.Request(url=url, headers=headers, body=body)


def _answered(answer: Response) -> dict[str, Any]:
    return {
        "statusCode": answer.status,
        "headers": dict(answer.headers),
        "body": answer.body.decode(),
        "isBase64Encoded": False,
    }


workflow: Decorator[View] = Decorator(_view, is_workflow=True)
step: Decorator[View] = Decorator(_view, is_workflow=False)


class Endpoints(BaseEndpoints):
    """Functions as endpoints of one Lambda function: POST {prefix}/{name of the function}.

    The object is the handler. A stage, or whatever else the gateway puts before the prefix, is passed over.
    """

    def __call__(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Answer an event of the gateway."""
        del context
        path = event["rawPath"]
        for own, endpoint in self._endpoints.items():
            if path.endswith(f"/{own}"):
                return _answered(endpoint.answer_sparingly(_asked(event), ENVIRONMENT_S))
        return _answered(not_found(path))
