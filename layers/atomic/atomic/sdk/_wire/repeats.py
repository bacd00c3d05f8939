"""What is sent again, after which pauses, and for how long. All requests are idempotent."""

import math
from dataclasses import replace
from typing import Final

from atomic.protocol import headers
from atomic.sdk._wire.transport import Flow, HttpRequest, HttpResponse, error_of

# A handler whose posts are refused for so long is called again later. Where the server has few processes,
# the caller of this handler may occupy the one that its steps need.
REFUSED_S: Final = 2.0
_SENT_AGAIN: Final = frozenset({0, 429, 500, 502, 503})
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.1, 5.0
# Shorter than any wait that a server has made.
_WAIT_MIN_S: Final = 0.5


def exchange(request: HttpRequest, patience_s: float, refused_s: float = math.inf) -> Flow[HttpResponse]:
    """Send a request. It is repeated while no answer comes or the server is busy.

    It is repeated for at most `patience_s`, and for at most `refused_s` if the server says that it is busy.
    """
    failures, first_s = 0, 0.0
    while True:
        answer = yield request
        if answer.status not in _SENT_AGAIN:
            return answer
        failures += 1
        first_s = answer.at_s if failures == 1 else first_s
        pause_s = _pause_s(answer, failures)
        within_s = min(patience_s, refused_s) if answer.status else patience_s
        if answer.at_s + pause_s > first_s + within_s:
            raise error_of(answer)
        request = replace(request, pause_s=pause_s)


def between_waits_s(sent_s: float, answer: HttpResponse, last_s: float) -> float:
    """The pause before the next wait: none, or a growing one while the server answers without waiting."""
    if answer.at_s - sent_s >= _WAIT_MIN_S:
        return 0.0
    return max(_WAIT_MIN_S, min(2 * last_s, _PAUSE_MAX_S) * (1 + answer.jitter) / 2)


def _pause_s(answer: HttpResponse, failures: int) -> float:
    text = answer.headers.get(headers.RETRY_AFTER, "")
    if text.isdigit():
        return float(text)
    # Half is fixed and half is random, so that the clients of a server do not all return at the same time.
    longest = min(_PAUSE_MIN_S * 2.0**failures, _PAUSE_MAX_S)
    return longest * (1 + answer.jitter) / 2
