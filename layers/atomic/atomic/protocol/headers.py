"""Header names and the small grammars inside header values."""

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from atomic.protocol import problems

# Names are lower case, as both runtimes pass them; HTTP ignores case.
ATTEMPT: Final = "atomic-attempt"
AUTHORIZATION: Final = "authorization"
CONTENT_TYPE: Final = "content-type"
ERROR_SOURCE: Final = "atomic-error-source"
IDEMPOTENCY_EXPIRES: Final = "idempotency-expires"
IDEMPOTENCY_KEY: Final = "idempotency-key"
IDEMPOTENCY_REPLAYED: Final = "idempotency-replayed"
LOCATION: Final = "location"
NO_RETRY: Final = "atomic-no-retry"
NO_RETRY_ALIAS: Final = "webhook-delivery"
PREFER: Final = "prefer"
PREFERENCE_APPLIED: Final = "preference-applied"
REFUSED: Final = "atomic-refused"
RETRY_AFTER: Final = "retry-after"
STEP_ID: Final = "atomic-step-id"
TRACEPARENT: Final = "traceparent"
WAKE: Final = "atomic-wake"
WAITING_FOR: Final = "atomic-waiting-for"

_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


@dataclass(frozen=True, slots=True)
class Preferences:
    """What `Prefer` (RFC 7240) asks for; `wait_ms` is None if it has no `wait`."""

    wait_ms: int | None = None
    respond_async: bool = False

    def applied(self) -> str:
        """The value of `Preference-Applied`; empty if no preference was applied."""
        parts = ["respond-async"] if self.respond_async else []
        if self.wait_ms is not None:
            parts.append(f"wait={self.wait_ms // 1000}")
        return ", ".join(parts)


def parse_prefer(value: str) -> Preferences:
    """Read `wait=N` (seconds) and `respond-async`; unknown preferences are ignored, as the RFC asks."""
    wait_ms: int | None = None
    respond_async = False
    for part in value.split(","):
        name, _, argument = part.partition(";")[0].strip().partition("=")
        if name.strip().lower() == "respond-async":
            respond_async = True
        elif name.strip().lower() == "wait":
            seconds = argument.strip().strip('"')
            if not seconds.isascii() or not seconds.isdigit() or len(seconds) > 9:
                raise problems.invalid("Prefer", "wait takes whole seconds, as in `wait=8`")
            # The first instance counts (RFC 7240, section 2).
            wait_ms = int(seconds) * 1000 if wait_ms is None else wait_ms
    return Preferences(wait_ms, respond_async)


def parse_idempotency_key(value: str) -> str:
    """A bare key, or the quoted string of RFC 8941 that the IETF draft asks for."""
    quoted = _QUOTED.fullmatch(value.strip())
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value.strip()


def parse_retry_after_ms(value: str, now_ms: int) -> int | None:
    """Milliseconds to wait (RFC 9110: delta seconds or HTTP date); None when absurd or in the past."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return int(text) * 1000 if len(text) <= 12 else None
    try:
        moment = parsedate_to_datetime(text)
        # A date without a zone (asctime) is GMT; Python would take the zone of the machine.
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        moment_ms = int(moment.timestamp() * 1000)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment_ms - now_ms if moment_ms > now_ms else None


def parse_trace_id(value: str) -> str | None:
    """The trace id inside a W3C `traceparent`, None when the value is malformed."""
    match = _TRACEPARENT.fullmatch(value.strip())
    return match[1] if match else None


def traceparent(trace_id: str, span_id: str) -> str:
    """A sampled W3C `traceparent` of version 00; ids are 32 and 16 hex digits."""
    return f"00-{trace_id}-{span_id}-01"
