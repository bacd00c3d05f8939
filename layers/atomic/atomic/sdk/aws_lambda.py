"""Endpoints on AWS Lambda behind an HTTP API, a REST API, a function URL or a load balancer.

`Endpoints("/orders")` is the Lambda handler of many functions, and chooses one by the path.
`@workflow` or `@step` above a function makes it the handler itself.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from atomic.protocol.signatures import ATOMIC_URL
from atomic.sdk._calls.call import Call
from atomic.sdk._endpoints.endpoint import Endpoint
from atomic.sdk._endpoints.endpoints import BaseEndpoints, Decorator
from atomic.sdk._endpoints.serving import ENVIRONMENT_S, RawPath, encoded
from atomic.sdk._endpoints.serving import Request as EndpointRequest
from atomic.sdk._wire.answers import HandlerResponse, not_found
from atomic.sdk.async_context import AsyncContext
from atomic.sdk.context import Context

__all__ = ["AsyncContext", "Call", "Context", "Endpoints", "step", "workflow"]

View = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def _view(endpoint: Endpoint) -> View:
    def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        del context
        return _answered(event, endpoint.answer(_asked(event)))

    return handler


def _asked(event: Mapping[str, Any]) -> EndpointRequest:
    path = _path_of(event)
    text = event.get("body") or ""
    body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
    many = {name: values[-1] for name, values in (event.get("multiValueHeaders") or {}).items()}
    headers = {name.lower(): value for name, value in (event.get("headers") or many).items()}
    host = event["requestContext"].get("domainName") or headers.get("host")
    # Gateways are always called with TLS; a load balancer says how it was called. Atomic itself, which has
    # invoked the function without any of them, says how it did so.
    invoked_as, url = headers.get("x-forwarded-proto", "https"), headers.get(ATOMIC_URL, "")
    return EndpointRequest(
        origin=url.partition("/")[0] if url.startswith("lambda:") else f"{invoked_as}://{host}",
        at=RawPath("", encoded(path)),
        headers=headers,
        body=body,
        wait_s=ENVIRONMENT_S,
    )


def _path_of(event: Mapping[str, Any]) -> str:
    """The path with the stage, which a REST API leaves out of `path`."""
    path = event.get("rawPath") or (event.get("requestContext") or {}).get("path") or event.get("path")
    if path is None:
        raise ValueError(
            "this event is not an HTTP request: call the function through an HTTP API, a REST API with "
            "proxy integration, a function URL or a load balancer"
        )
    return str(path)


def _answered(event: Mapping[str, Any], answer: HandlerResponse) -> dict[str, Any]:
    headers = dict(answer.headers)
    answered = {
        "statusCode": answer.status,
        "headers": headers,
        "body": answer.body.decode(),
        "isBase64Encoded": False,
    }
    if "multiValueHeaders" in event:
        # A load balancer that sends multi-value headers accepts only multi-value headers.
        answered["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    return answered


workflow: Decorator[View] = Decorator(_view, is_workflow=True)
step: Decorator[View] = Decorator(_view, is_workflow=False)


class Endpoints(BaseEndpoints):
    """Serves functions in one Lambda function, whose handler is this object.

    - `prefix`: what stands before the names of the functions; a stage, or what else the gateway puts before
      it, is passed over (default: nothing).
    - `steps`: functions from elsewhere that are served as steps, too (default: none).
    - `client`: the `Client` (of `def` workflows) or `AsyncClient` (of `async def` ones) that posts the
      steps of a workflow (default: one that takes its settings from the environment).
    - `secrets`: signing secrets (`whsec_…`) or public keys (`whpk_…`), one of which must have signed a call
      (default: ATOMIC_SIGNING_SECRET; without any, calls are not checked).
    - `base_url`: where Atomic reaches this application (default: ATOMIC_BASE_URL, else the URL that Atomic
      signed, else what the request shows).
    - `wait`: seconds, or a timedelta, that one call of a workflow waits for its steps before it is
      suspended (default: 15 on an event loop, 0.25 or nothing in a thread of a WSGI server, 1 on Lambda).
    - `build`: which build of the application this is, as its commit; up to 64 characters (default:
      ATOMIC_BUILD, else none).
    - `hooks`: objects that are told of calls, operations and attempts, as `Hooks` (default: none).
    - `codec`: a `Codec` for payloads, results and values (default: that of `client`, else none).

    A decorator may give one function other options. The constructor raises the errors of `step`.
    """

    def __call__(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Answer an event of the gateway. Lambda calls it.

        - `event`: the event of an HTTP API, a REST API with proxy integration, a function URL or a load
          balancer.
        - `context`: Lambda's context, which is not used.

        Returns the response in the gateway's format.

        Raises ValueError for an event that is not an HTTP request.
        """
        del context
        path = _path_of(event)
        for own, endpoint in self._endpoints.items():
            if unquote(path).endswith(f"/{own}"):
                return _answered(event, endpoint.answer(_asked(event)))
        return _answered(event, not_found(path))
