"""Answers that a test gives in place of endpoints."""

import asyncio
from collections.abc import Sequence
from typing import Any

from atomic.sdk.errors import NonRetryable
from atomic.testing.endpoints import EndpointCall, EndpointReply


class Answers:
    """What one endpoint answers, in order; the last answer is repeated. `calls` are the attempts so far.

    An answer is a JSON value (the result), an exception (the attempt fails; with `NonRetryable`, the step
    does; with `TimeoutError`, the attempt's time is over without an answer; with `ConnectionError`, nothing
    answers), an `EndpointReply`, or a function that makes one of these of the `EndpointCall`.
    """

    def __init__(self, answers: Sequence[Any]) -> None:
        if not answers:
            raise TypeError(
                "give at least one answer: a result, an exception, an EndpointReply or a function"
            )
        self.calls: list[EndpointCall] = []
        self._answers = answers

    async def __call__(self, call: EndpointCall) -> EndpointReply:
        """Answer an attempt."""
        self.calls.append(call)
        answer = self._answers[min(len(self.calls), len(self._answers)) - 1]
        if callable(answer):
            answer = answer(call)
        if isinstance(answer, EndpointReply):
            return answer
        if isinstance(answer, TimeoutError):
            await asyncio.Event().wait()
        if isinstance(answer, ConnectionError):
            raise answer
        if isinstance(answer, Exception):
            headers = {"Atomic-No-Retry": "true"} if isinstance(answer, NonRetryable) else {}
            document = {"detail": str(answer), "type": type(answer).__name__}
            return EndpointReply(status=500, json=document, headers=headers)
        return EndpointReply(json=answer)
