"""Event buses of EventBridge as targets of hooks: a delivery is one event on the bus.

Its answers are those of an endpoint, so a refused event is retried, and a dead letter in the end.
"""

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
# What EventBridge says of an entry that may be put again (API reference of PutEvents).
_TRANSIENT: Final = frozenset({"InternalException", "InternalFailure", "ThrottlingException"})


class EventsClient(Protocol):
    """What is asked of the client for EventBridge."""

    def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:  # noqa: N803
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
        """Make one attempt."""
        if not is_bus(request.url):
            return await self._endpoints.post(request)
        return await self._calls.start(self._put, request)

    def _put(self, request: EndpointRequest) -> EndpointResponse:
        try:
            answer = self._events().put_events(Entries=[entry_of(request)])
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return _answer(status, {"message": error.response["Error"]["Code"]})
        except BotoCoreError as error:
            return EndpointResponse(error=StepError(ErrorKind.NETWORK, type(error).__name__))
        [put] = answer["Entries"]
        if "EventId" in put:
            return _answer(200, {"eventId": put["EventId"]})
        return _answer(503 if put["ErrorCode"] in _TRANSIENT else 400, {"message": put["ErrorCode"]})


def entry_of(request: EndpointRequest) -> dict[str, str]:
    """The event of a delivery: what an endpoint would be sent, under the name of what has happened."""
    return {
        "EventBusName": parse_url(request.url).host,
        "Source": SOURCE,
        "DetailType": orjson.loads(request.body)["payload"]["event"],
        "Detail": request.body.decode(),
    }


def _answer(status: int, document: Mapping[str, str]) -> EndpointResponse:
    return EndpointResponse(status=status, headers=_JSON, body=orjson.dumps(document))
