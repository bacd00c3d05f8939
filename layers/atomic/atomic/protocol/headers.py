"""Header names and the small grammars inside header values."""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from atomic.protocol import problems
from atomic.protocol.constants import DURATION_MAX_MS

# Names are lower case, as both runtimes pass them; HTTP ignores case.
ANSWER_WITHIN: Final = "atomic-answer-within"
ATTEMPT: Final = "atomic-attempt"
ATTEMPT_TOKEN: Final = "atomic-attempt-token"  # noqa: S105 - the name of a header
AUTHORIZATION: Final = "authorization"
BUILD: Final = "atomic-build"
CONTINUE_AS: Final = "atomic-continue-as"
CANCELLED: Final = "atomic-cancelled"
CONTENT_TYPE: Final = "content-type"
ERROR_TYPE: Final = "atomic-error-type"
ERROR_SOURCE: Final = "atomic-error-source"
FAULT: Final = "atomic-fault"
IDEMPOTENCY_EXPIRES: Final = "idempotency-expires"
IDEMPOTENCY_KEY: Final = "idempotency-key"
IDEMPOTENCY_REPLAYED: Final = "idempotency-replayed"
LAST_SCHEDULED_AT: Final = "atomic-last-scheduled-at"
LOCATION: Final = "location"
ORIGIN: Final = "origin"
NO_RETRY: Final = "atomic-no-retry"
NO_RETRY_ALIAS: Final = "webhook-delivery"
PREFER: Final = "prefer"
PREFERENCE_APPLIED: Final = "preference-applied"
REFUSED: Final = "atomic-refused"
RETRY_AFTER: Final = "retry-after"
SCHEDULED_AT: Final = "atomic-scheduled-at"
STEP_ID: Final = "atomic-step-id"
STEPS_URL: Final = "atomic-steps-url"
TRACEPARENT: Final = "traceparent"
UNUSED_RESULTS: Final = "atomic-unused-results"
WAKE: Final = "atomic-wake"
WAITING_FOR: Final = "atomic-waiting-for"

_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})"
)
_SAMPLED: Final = 1
_ATTEMPT_TOKEN: Final = re.compile(r"([1-9][0-9]{0,9})\.[0-9a-f]{32}", re.ASCII)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_BUILD: Final = re.compile(r"[!-~]+")
_BUILD_MAX_CHARS: Final = 64
_MILLISECONDS: Final = re.compile(r"[0-9]{1,12}")
_ERROR_TYPE: Final = re.compile(r"[A-Za-z_][0-9A-Za-z_]{0,99}")
ERROR_TYPES_MAX: Final = 20
_COUNT: Final = re.compile(r"[0-9]{1,9}")


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


def parse_build(value: str) -> str | None:
    """A build, cut to 64 characters; None when it is empty or has a character beside visible ASCII."""
    text = value.strip()
    return text[:_BUILD_MAX_CHARS] if _BUILD.fullmatch(text) else None


def parse_unused_results(value: str) -> int:
    """A number of results; 0 when the value is no whole number of up to nine digits."""
    text = value.strip()
    return int(text) if _COUNT.fullmatch(text) else 0


def parse_error_types(value: str) -> tuple[str, ...]:
    """The names of an error and of the classes it belongs to. Texts that are no names are left out."""
    names = (name.strip() for name in value.split(",", ERROR_TYPES_MAX)[:ERROR_TYPES_MAX])
    return tuple(name for name in names if is_error_type(name))


def is_error_type(name: str) -> bool:
    """Whether the text may be the name of an error: a name of up to 100 ASCII letters, digits and `_`."""
    return _ERROR_TYPE.fullmatch(name) is not None


def parse_answer_within_ms(value: str) -> int | None:
    """Milliseconds, 1 to DURATION_MAX_MS; None for anything else."""
    text = value.strip()
    within_ms = int(text) if _MILLISECONDS.fullmatch(text) else 0
    return within_ms if 1 <= within_ms <= DURATION_MAX_MS else None


def attempt_token(key: bytes, step_id: str, attempt: int) -> str:
    """The proof that its holder was called as this attempt of the step, counted from 1.

    It is `<attempt>.<32 hex digits>`: half of an HMAC-SHA256 of step and number. It is checked without a
    read, and nothing is stored for it.
    """
    # A step's id has no dot, so no other step and number give the same text.
    mac = hmac.digest(key, f"{step_id}.{attempt}".encode(), "sha256").hex()
    return f"{attempt}.{mac[:32]}"


def parse_attempt_token(valid_keys: Sequence[bytes], step_id: str, value: str) -> int | None:
    """The number of the attempt. None when the token is of another step, or made under another key."""
    match = _ATTEMPT_TOKEN.fullmatch(value)
    if match is None:
        return None
    attempt = int(match[1])
    made = (attempt_token(key, step_id, attempt) for key in valid_keys)
    return attempt if any(hmac.compare_digest(token, value) for token in made) else None


def parse_trace(value: str) -> tuple[str | None, bool]:
    """The trace id inside a W3C `traceparent`, and whether its sender does not record the trace.

    No id and False when the value is malformed.
    """
    match = _TRACEPARENT.fullmatch(value.strip())
    return (match[1], not int(match[2], 16) & _SAMPLED) if match else (None, False)


def traceparent(trace_id: str, span_id: str, *, is_sampled: bool = True) -> str:
    """A W3C `traceparent` of version 00; ids are 32 and 16 hex digits."""
    return f"00-{trace_id}-{span_id}-{'01' if is_sampled else '00'}"
