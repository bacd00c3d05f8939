"""The invoker of Lambda functions: an attempt is an event in the form of an HTTP API (payload format 2.0).

The function is invoked over HTTP by the invoker of ordinary endpoints, so all of its bounds hold here.
"""

import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import orjson

from atomic.application.ports import EndpointInvoker, EndpointRequest
from atomic.domain.outcomes import EndpointResponse, NotMade, StepError
from atomic.protocol import headers
from atomic.protocol.constants import RESPONSE_MAX_BYTES
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.urls import is_function, parse_url

_ARN: Final = re.compile(r"arn:(aws[a-z-]*):lambda:([a-z0-9-]+):")
# How Lambda says that the function ran out of its own time: by these types, or none.
_TIMED_OUT: Final = re.compile(r"Task timed out after ([0-9]{1,6}(?:\.[0-9]+)?) seconds")
_TYPES_OF_TIME_OUTS: Final = ("", "Sandbox.Timedout")
_JSON: Final = {headers.CONTENT_TYPE: "application/json"}
# What API Gateway answers for a function that failed.
_BAD_GATEWAY: Final = 502
_THROTTLED_FOR_MS: Final = 1_000

# Lambda's answer holds that of the function as a JSON string: base64, or with escapes.
ANSWER_MAX_BYTES: Final = 2 * RESPONSE_MAX_BYTES + 64 * 1024

# The headers of a signed POST of JSON, from region, URL and body.
Sign = Callable[[str, str, bytes], Awaitable[dict[str, str]]]


class LambdaInvoker:
    """Makes attempts at Lambda functions, and hands those at other URLs to `endpoints`.

    `api` calls Lambda itself, and reads answers of up to `ANSWER_MAX_BYTES`. `sign` signs these calls.
    `region` is that of names without an ARN. `endpoint` replaces the URL of Lambda.
    """

    def __init__(
        self,
        endpoints: EndpointInvoker,
        api: EndpointInvoker,
        sign: Sign,
        *,
        region: str,
        endpoint: str = "",
    ) -> None:
        self._endpoints = endpoints
        self._api = api
        self._sign = sign
        self._region = region
        self._endpoint = endpoint.rstrip("/")

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt. Always ends within the request's total time."""
        if not is_function(request.url):
            return await self._endpoints.post(request)
        try:
            function = parse_url(request.url).host
        except ValueError:
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, "not a usable URL"))
        arn = _ARN.match(function)
        region = arn[2] if arn else self._region
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        at = self._endpoint or f"https://lambda.{region}.{suffix}"
        url = f"{at}/2015-03-31/functions/{quote(function, safe='')}/invocations"
        event = orjson.dumps(event_of(request))
        try:
            signed = await self._sign(region, url, event)
        except Exception as error:
            # Credentials come from many places, and so do the errors.
            why = f"no credentials of AWS ({type(error).__name__})"
            return EndpointResponse(not_made=NotMade(StepError(ErrorKind.RESOURCES_EXHAUSTED, why)))
        called = replace(request, url=url, headers=signed, body=event)
        answer = answer_of(await self._api.post(called), request.timeout_ms)
        if len(answer.body) <= RESPONSE_MAX_BYTES:
            return answer
        return replace(answer, body=b"", too_large=True)


def event_of(request: EndpointRequest) -> dict[str, Any]:
    """The event of a request, as an HTTP API sends it."""
    parts = parse_url(request.url)
    lower = {name.lower(): value for name, value in request.headers.items()}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path,
        "rawQueryString": parts.target.partition("?")[2],
        "headers": {**lower, "host": "lambda", "user-agent": "atomic"},
        "requestContext": {
            "apiId": "atomic",
            "domainName": "lambda",
            "http": {
                "method": "POST",
                "path": parts.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "",
                "userAgent": "atomic",
            },
            "requestId": lower.get("webhook-id", ""),
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1000 * int(lower.get("webhook-timestamp", "0")),
        },
        "body": request.body.decode(),
        "isBase64Encoded": False,
    }


def answer_of(answer: EndpointResponse, timeout_ms: int) -> EndpointResponse:
    """What the function answered, from the answer of Lambda."""
    if answer.status is None:
        return answer
    if answer.status == 429:
        # The function was not invoked, so no attempt was made.
        again_ms = headers.parse_retry_after_ms(answer.headers.get(headers.RETRY_AFTER, ""), 0)
        throttled = StepError(ErrorKind.RESOURCES_EXHAUSTED, "Lambda throttles the function")
        return EndpointResponse(not_made=NotMade(throttled, again_ms or _THROTTLED_FOR_MS))
    if answer.status != 200:
        name = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
        return EndpointResponse(
            error=StepError(ErrorKind.LAMBDA_REFUSED, f"{answer.status} {name}".rstrip())
        )
    if answer.too_large:
        return answer
    try:
        payload: Any = orjson.loads(answer.body or b"null")
    except orjson.JSONDecodeError:
        payload = None
    if "x-amz-function-error" in answer.headers:
        return _failure(payload if isinstance(payload, dict) else {}, timeout_ms)
    if isinstance(payload, dict) and "statusCode" in payload:
        return _of_gateway(payload)
    # Text that is not JSON is kept: whether it can be stored is decided as for any endpoint.
    return EndpointResponse(status=200, headers=_JSON, body=b"" if answer.body == b"null" else answer.body)


def _failure(payload: dict[str, Any], timeout_ms: int) -> EndpointResponse:
    """The answer of a function that raised an error, ended its process, or ran out of time."""
    message, error_type = str(payload.get("errorMessage", "")), str(payload.get("errorType", ""))
    late = _TIMED_OUT.search(message)
    # An error that the function raised has its own type, and may have any message.
    if late is not None and error_type in _TYPES_OF_TIME_OUTS:
        took_ms = min(timeout_ms, round(1000 * float(late[1])))
        return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, str(took_ms)))
    named = re.sub(r"[^0-9A-Za-z_]", "_", error_type)
    more = {headers.ERROR_TYPE: named} if headers.is_error_type(named) else {}
    return EndpointResponse(
        status=_BAD_GATEWAY,
        headers={**_JSON, **more},
        body=orjson.dumps({"message": message, **payload}),
        error=StepError(ErrorKind.FUNCTION_FAILED),
    )


def _of_gateway(payload: dict[str, Any]) -> EndpointResponse:
    """The answer of a function that answers as behind a gateway."""
    status, given, body = payload["statusCode"], payload.get("headers") or {}, payload.get("body")
    try:
        status = int(status)
        named = {str(name).lower(): str(value) for name, value in given.items()}
        text = "" if body is None else body
        raw = base64.b64decode(text, validate=True) if payload.get("isBase64Encoded") else text.encode()
    except (AttributeError, TypeError, ValueError):
        status = 0
    if not 200 <= status <= 599:
        cause = orjson.dumps({"message": "the function answered no valid statusCode, headers and body"})
        return EndpointResponse(status=_BAD_GATEWAY, headers=_JSON, body=cause)
    return EndpointResponse(status=status, headers=named, body=raw)
