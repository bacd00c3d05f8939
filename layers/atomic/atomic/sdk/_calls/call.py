"""One call of an endpoint by Atomic, as the endpoint's function gets it."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urljoin

from atomic.protocol import headers
from atomic.protocol.constants import DURATION_MAX_MS
from atomic.sdk._wire.answers import HandlerResponse
from atomic.sdk.errors import InvalidRequestError
from atomic.sdk.retry import Seconds, milliseconds

# A URL that `urljoin` knows, for the paths of a Lambda function.
_OF_FUNCTION: Final = "http://lambda"


# Cached, because a handler calls the same steps in each run.
@lru_cache(maxsize=1024)
def joined_url(url: str, name: str) -> str:
    """The URL of a name as seen from the URL of an endpoint, which may be that of a Lambda function."""
    if not url.startswith("lambda:"):
        return urljoin(url, name)
    function, _, path = url.partition("/")
    joined = urljoin(f"{_OF_FUNCTION}/{path}", name)
    is_there = joined.startswith(f"{_OF_FUNCTION}/")
    return function + joined.removeprefix(_OF_FUNCTION) if is_there else joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of an endpoint by Atomic.

    - `run_id`: the id of the run.
    - `step_id`: the unique id of the step; send it to services that remember idempotency keys.
    - `workflow_name`: the name of the run in lists.
    - `idempotency_key`: the key of the step, unique for its URL in its run.
    - `attempt`: which attempt of the step this is, from 1.
    - `url`: where the endpoint was called.
    - `traceparent`: the caller's trace (empty when there is none).
    - `attempt_token`: the proof that this attempt was called, for requests to Atomic (empty when there is
      none).
    - `steps_url`: where Atomic takes its handler's posts (empty when the server does not say).
    - `continued_from`: the id of the root for which this run goes on (None when it does not).
    - `cancelled`: whether the run is being cancelled, and this call may undo what earlier ones did.
    - `scheduled_at`: the time of the schedule that started this run (None when none did). Work on it, and
      not on the present time: a run may be late, or started again for a past time.
    - `last_scheduled_at`: the time of the schedule's run before this one (None for the first).
    - `answer_token`: with it, another program answers this call in the endpoint's place.
    """

    run_id: str
    step_id: str
    workflow_name: str
    idempotency_key: str
    attempt: int
    url: str
    traceparent: str = ""
    attempt_token: str = field(default="", repr=False)
    steps_url: str = ""
    continued_from: str | None = None
    cancelled: bool = False
    scheduled_at: datetime | None = None
    last_scheduled_at: datetime | None = None

    @property
    def answer_token(self) -> str:
        """What `Client.answer` and `Client.answer_failed` need: the step's id and the attempt token."""
        return f"{self.step_id}/{self.attempt_token}"

    def answer_later(self, within: Seconds) -> Any:
        """Postpone the answer. The endpoint returns the result of this method, and nothing waits meanwhile.

        - `within`: seconds, or a timedelta, in which the answer is posted with `answer_token`. Without an
          answer in this time, the attempt has timed out and is retried.

        Raises InvalidRequestError for a time of 0, or of more than 366 days.
        """
        within_ms = milliseconds("within", within)
        if not 1 <= within_ms <= DURATION_MAX_MS:
            raise InvalidRequestError(f"within: use more than 0 and up to 366 days, not {within!r}.")
        return HandlerResponse(status=202, headers={headers.ANSWER_WITHIN: str(within_ms)})
