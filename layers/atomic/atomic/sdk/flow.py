"""Flow control: the limits that a step shares with others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from atomic.protocol.enums import FlowScope
from atomic.protocol.flow import FlowOptions
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds


@dataclass(frozen=True, slots=True)
class Flow:
    """A limit that all steps share that name the same key.

    - `key`: the name of the limit: letters, digits and `.`, `_`, `~`, `:`, `@`, `-`.
    - `concurrency`: how many attempts may be under way at a time (default: any number).
    - `rate`: how many attempts may begin within a time, as in `rate=(10, 1.0)` for ten a second; the time
      is seconds, or a timedelta (default: no rate).
    - `scope`: "attempt" (the default) counts attempts. "run" counts from the first attempt of the step
      until its outcome; the steps below it are not counted under this key then.
    - `priority`: -5 to 5 (default 0); each one has four turns for one turn of the one below it.
    - `fair`: steps with different values, such as ids of customers, take turns (default: all are alike).
    """

    key: str
    concurrency: int | None = None
    rate: tuple[int, Seconds] | None = None
    scope: FlowScope = "attempt"
    priority: int = 0
    fair: str = ""

    def document(self) -> dict[str, Any]:
        """The wire form. Raises InvalidRequestError that names the invalid options."""
        given = {
            "key": self.key,
            "concurrency": self.concurrency,
            "rate": None if self.rate is None else rate_document("flow: rate", self.rate),
            "scope": self.scope,
            "priority": self.priority,
            "fair": self.fair,
        }
        try:
            options = FlowOptions.model_validate(given)
        except ValidationError as refused:
            errors = refused.errors(include_url=False)
            wrong = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in errors]
            raise InvalidRequestError(f"flow: {'; '.join(wrong)}.") from None
        return options.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)


def rate_document(name: str, rate: tuple[int, Seconds]) -> dict[str, Any]:
    """A rate on the wire. `name`: of the option, for errors. Raises InvalidRequestError."""
    try:
        limit, per = rate
    except (TypeError, ValueError):
        raise InvalidRequestError(
            f"{name}: give how many and in what time, as in (10, 1.0), not {rate!r}."
        ) from None
    return {"limit": limit, "per": milliseconds(name, per)}


def flow_document(flow: Flow | Sequence[Flow]) -> list[dict[str, Any]]:
    """The limits of a step on the wire. Raises InvalidRequestError."""
    limits = [flow] if isinstance(flow, Flow) else list(flow)
    for limit in limits:
        if not isinstance(limit, Flow):
            raise InvalidRequestError(f"flow: use a Flow, or a list of them, not {limit!r}.")
    return [limit.document() for limit in limits]
