"""The retry policy on the wire: one model, as it is asked for and as it is shown."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from atomic.protocol import defaults
from atomic.protocol.backoff import Jitter, Strategy
from atomic.protocol.constants import RETRY_COUNT_MAX
from atomic.protocol.wire import Document, Duration, WireModel

_STATUS_RULE: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)")


def _status_rules(text: str) -> str:
    rules = [rule.strip().lower() for rule in text.split(",")]
    if not all(_STATUS_RULE.fullmatch(rule) for rule in rules):
        raise PydanticCustomError("rules", 'write status codes or classes, such as "404,429,5xx"')
    return ",".join(rules)


StatusRules = Annotated[str, Field(max_length=255), AfterValidator(_status_rules)]


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
    on: StatusRules | None = Field(
        default=None, description='Only these statuses are retried, such as "404,408,429,5xx".'
    )
    never: StatusRules | None = Field(default=None, description="These statuses are never retried.")

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
