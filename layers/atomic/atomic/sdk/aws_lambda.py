"""Endpoints on AWS Lambda behind an HTTP API or a function URL (event format 2.0).

`@workflow` or `@step` above the function makes it the Lambda handler itself.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from atomic.sdk import _handler
from atomic.sdk._handler import Decorator, Endpoint

View = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def _view(endpoint: Endpoint) -> View:
    def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        del context
        answer = endpoint.answer(_asked(event))
        return {
            "statusCode": answer.status,
            "headers": dict(answer.headers),
            "body": answer.body.decode(),
            "isBase64Encoded": False,
        }

    return handler


def _asked(event: Mapping[str, Any]) -> _handler.Request:
    text = event.get("body") or ""
    body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    url = f"https://{event['requestContext']['domainName']}{event['rawPath']}"
    return _handler.Request(url=url, headers=headers, body=body)


workflow: Decorator[View] = Decorator(_view, is_workflow=True)
step: Decorator[View] = Decorator(_view, is_workflow=False)
