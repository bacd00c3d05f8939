"""Event buses of EventBridge as targets of hooks: a delivery is one event on the bus.

Its answers are those of an endpoint, so a refused event is retried, and a dead letter in the end.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from atomic.adapters.aws.calls import AwsCalls
from atomic.application.ports import EndpointInvoker, EndpointRequest
from atomic.domain.outcomes import EndpointResponse, StepError
from atomic.protocol import headers
from atomic.protocol.error_kinds import ErrorKind
from atomic.protocol.urls import is_bus, parse_url

SOURCE: Final = "atomic"
_JSON: Final = {headers.CONTENT_TYPE: "application/json"}
# What EventBridge says of an entry, or of a request, that may be put again (API reference of PutEvents, and
# its common errors).
_TRANSIENT: Final = frozenset(
    {"InternalException", "InternalFailure", "ServiceUnavailable", "ThrottlingException"}
)


class EventsClient(Protocol):
    """What is asked of the client for EventBridge."""

    def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:  # noqa: N803 - as boto3
        """Put events on a bus."""
        ...


class BusInvoker:
    """Puts deliveries whose URL is that of an event bus there, and hands all others to `endpoints`."""

    def __init__(
        self, endpoints: EndpointInvoker, calls: AwsCalls, events: Callable[[], EventsClient]
    ) -> None:
        self._endpoints = endpoints
        self._calls = calls
        self._events = events

    async def post(self, request: EndpointRequest) -> EndpointResponse:
        """Make one attempt. Always ends within the request's total time."""
        if not is_bus(request.url):
            return await self._endpoints.post(request)
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                return await self._calls.start(self._put, request)
        except TimeoutError:
            return EndpointResponse(error=StepError(ErrorKind.TIMED_OUT, str(request.timeout_ms)))

    def _put(self, request: EndpointRequest) -> EndpointResponse:
        try:
            answer = self._events().put_events(Entries=[entry_of(request)])
        except ClientError as error:
            # A throttled request has the status 400, too.
            return _refused(error.response["Error"]["Code"])
        except BotoCoreError as error:
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, type(error).__name__))
        [put] = answer["Entries"]
        if "EventId" in put:
            return _answer(200, {"eventId": put["EventId"]})
        return _refused(put["ErrorCode"])


def entry_of(request: EndpointRequest) -> dict[str, str]:
    """The event of a delivery: what an endpoint would be sent, under the name of what has happened."""
    return {
        "EventBusName": parse_url(request.url).host,
        "Source": SOURCE,
        "DetailType": orjson.loads(request.body)["payload"]["event"],
        "Detail": request.body.decode(),
    }


def _refused(code: str) -> EndpointResponse:
    return _answer(503 if code in _TRANSIENT else 400, {"message": code})


def _answer(status: int, document: Mapping[str, str]) -> EndpointResponse:
    return EndpointResponse(status=status, headers=_JSON, body=orjson.dumps(document))
