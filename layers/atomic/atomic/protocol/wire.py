"""The parts of the wire's models: the base classes for requests and documents, durations, moments, retries.

Moments are RFC 3339 in UTC with milliseconds; in the code, they are integer milliseconds since 1970.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from atomic.protocol import defaults, headers, keys
from atomic.protocol.backoff import Jitter, Strategy
from atomic.protocol.constants import DURATION_MAX_MS, RETRY_COUNT_MAX

# Milliseconds.
Duration = Annotated[int, Field(ge=0, le=DURATION_MAX_MS)]
PositiveDuration = Annotated[int, Field(ge=1, le=DURATION_MAX_MS)]
_RESERVED: Final = " and ".join(keys.RESERVED_NAMES)
RESERVED: Final = f"{_RESERVED} begin the names of runs that Atomic itself starts; use another name"
_STATUS_RULE: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_MOMENT_MAX_CHARS: Final = 40
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def unreserved(name: str) -> str:
    """The name of a workflow that somebody starts."""
    if name.startswith(keys.RESERVED_NAMES):
        raise PydanticCustomError("reserved", RESERVED)
    return name


def moment(given: object) -> int:
    """A moment of a request as milliseconds since the epoch."""
    try:
        if isinstance(given, str) and len(given) <= _MOMENT_MAX_CHARS:
            return from_rfc3339(given)
    except ValueError:
        pass
    cure = "use a time with its offset from UTC, such as 2026-11-23T07:38:00Z"
    raise PydanticCustomError("moment", "{cure}", {"cure": cure})


MOMENT_SCHEMA: Final = {"type": "string", "format": "date-time"}
# RFC 3339 on the wire.
Moment = Annotated[int, BeforeValidator(moment), WithJsonSchema(MOMENT_SCHEMA)]
# None means that it is left out. Null is refused: a client makes it of an invalid date.
MomentIfGiven = Annotated[int | None, BeforeValidator(moment), WithJsonSchema(MOMENT_SCHEMA)]


def without_default(schema: dict[str, Any]) -> None:
    """Leave the default out of a member's schema: null is no value of it."""
    del schema["default"]


# For people: why something is done to runs.
RunNote = Annotated[str, Field(max_length=500)]


class WireModel(BaseModel):
    """What comes in. Members are camelCase on the wire, unknown ones are refused, nothing is coerced."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, strict=True, populate_by_name=True
    )


class Document(BaseModel):
    """What goes out. Members are camelCase; newer servers may add some."""

    # Each model is built at its first use: a program that starts one run needs only one of them.
    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, populate_by_name=True, defer_build=True
    )


def _rules(text: str) -> str:
    rules = [rule.strip() for rule in text.split(",")]
    rules = [rule.lower() if rule[:1].isdigit() else rule for rule in rules]
    if not all(_STATUS_RULE.fullmatch(rule) or headers.is_error_type(rule) for rule in rules):
        cure = 'write status codes or classes, and names of errors, such as "404,5xx,TimeoutError"'
        raise PydanticCustomError("rules", "{cure}", {"cure": cure})
    return ",".join(rules)


Rules = Annotated[str, Field(max_length=1024), AfterValidator(_rules)]


class RetryOptions(WireModel):
    """When a failed attempt is repeated. `count` counts retries, so count 3 allows 4 attempts."""

    count: Annotated[int, Field(ge=0, le=RETRY_COUNT_MAX)] = defaults.RETRY_COUNT
    back_off: Duration = Field(
        default=defaults.BACK_OFF_MS, description="Base of the delay in milliseconds."
    )
    strategy: Strategy = defaults.STRATEGY
    factor: Annotated[float, Field(ge=1, le=100)] = defaults.FACTOR
    max_back_off: Duration | None = Field(
        default=None,
        description="Ceiling of one delay in milliseconds; the default is "
        f"{defaults.MAX_BACK_OFF_MS}, or `backOff` when that is more.",
    )
    jitter: Jitter = defaults.JITTER
    on: Rules | None = Field(
        default=None,
        description="Only these statuses, and errors of these names (`Atomic-Error-Type`), are retried: "
        '"404,5xx,TimeoutError". Without a status, answers that name no error are retried as usual.',
    )
    never: Rules | None = Field(
        default=None, description="These statuses, and errors of these names, are never retried."
    )
    then: Literal["fail", "pause"] = Field(
        default="fail",
        description="What happens when the last retry has failed: the step fails, or its run is paused, "
        "and a resume gives the step a fresh budget of attempts.",
    )

    @property
    def max_back_off_ms(self) -> int:
        """The ceiling in force: the default ceiling does not shorten an explicit first delay."""
        if self.max_back_off is None:
            return max(defaults.MAX_BACK_OFF_MS, self.back_off)
        return self.max_back_off


def _all_given(schema: dict[str, Any]) -> None:
    schema["required"] = list(schema["properties"])
    for member in schema["properties"].values():
        member.pop("default", None)


class RetryDocument(RetryOptions, Document):
    """The retry policy in force: every member, given or by default."""

    model_config = ConfigDict(extra="ignore", strict=False, json_schema_extra=_all_given)

    max_back_off: Duration = Field(description="Ceiling of one delay in milliseconds.")


def to_rfc3339(at_ms: int) -> str:
    """The moment as text, such as `2026-11-23T07:38:00.123Z`."""
    at_s, ms = divmod(at_ms, 1000)
    return f"{_to_the_second(at_s)}.{ms:03d}Z"


@lru_cache(maxsize=64)
def _to_the_second(at_s: int) -> str:
    # Cached, since an answer has several moments, and most are in the last few seconds.
    return (_EPOCH + timedelta(seconds=at_s)).isoformat(timespec="seconds").removesuffix("+00:00")


def from_rfc3339(text: str) -> int:
    """Milliseconds since the epoch. Raises ValueError unless the text is a date and time with an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the offset is missing; write UTC as `Z`")
    # Its offset may put it before the year 1 or after the year 9999 in UTC, and no text could tell it.
    if not _FIRST <= moment <= _LAST:
        raise ValueError("it lies outside the years 1 to 9999 in UTC")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
