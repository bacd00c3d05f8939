"""The same application on AWS Lambda, behind an HTTP API: the demo of a stack (`Demo=true`).

Its files are in `/tmp`, so each environment of Lambda has its own, and they go with it. That is enough for
a demo. An application keeps what must last in a table, as `examples/users_lambda.py` does.
"""

import base64
import json
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any, Final

from atomic.demo.app import Config, Request, UserCreation, answered
from atomic.demo.storage import Storage

# SQS delays by whole seconds, and the three refusals should be over before the caller's time is.
_BACK_OFF_MS: Final = 200


class DemoFunction:
    """The Lambda handler. Events have payload format 2.0."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        config = Config(
            port=0,
            data_dir=folder,
            atomic_url=environ["DEMO_ATOMIC_URL"],
            client_id=environ["DEMO_CLIENT_ID"],
            retry_back_off_ms=_BACK_OFF_MS,
            api_key=environ["DEMO_API_KEY"],
            signing_secret=environ["DEMO_SIGNING_SECRET"],
        )
        self._storage = Storage(folder)
        self._routes = UserCreation(config, self._storage, environ["DEMO_URL"]).routes()

    def __call__(self, event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
        """Answer one request."""
        name = f"{event['requestContext']['http']['method']} {event['rawPath']}"
        answer = answered(self._routes, name, lambda: _request(event))
        return {
            "statusCode": answer.status,
            "headers": {"content-type": "application/json", **answer.headers},
            "body": json.dumps(answer.body),
        }

    def close(self) -> None:
        """Close the database. Lambda never calls this; tests do."""
        self._storage.close()


def _request(event: Mapping[str, Any]) -> Request:
    headers = Message()
    for name, value in event.get("headers", {}).items():
        headers[name] = value
    body = event.get("body") or ""
    return Request(headers, base64.b64decode(body) if event.get("isBase64Encoded") else body.encode())
