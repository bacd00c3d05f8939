"""What a handler posted at earlier calls: read once when it is called again, instead of posted once more.

A result is used when the handler would post the same now: the same identity, and a payload with the same
fingerprint (a value is its identity alone). Whatever is missing, old, cut off or malformed is posted, and
the server's answer counts. So a fault here costs a request and never changes an outcome.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from atomic.protocol import headers
from atomic.protocol.enums import LIVE
from atomic.sdk._api import Outcome, exchange
from atomic.sdk._transport import TRANSIENT, ApiTarget, Flow, HttpRequest, HttpResponse, StepsPath
from atomic.sdk.errors import NotFinishedError

# Without the results the handler posts everything, so they are not worth a longer wait.
_PATIENCE_S: Final = 1.0
# As `protocol.canonical` writes it. What the SDK sends has no float that is an integer, no NaN and no half
# of a character, so Python's own encoder gives the same bytes.
_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
_PORTS: Final = {"http": 80, "https": 443}


def fingerprint(payload: Any) -> str:
    """The server's fingerprint of a payload that `_values` has written: SHA-256, in hex digits."""
    return hashlib.sha256(_CANONICAL.encode(payload).encode()).hexdigest()


@lru_cache(maxsize=256)
def steps_target(connection: ApiTarget, steps_url: str) -> str:
    """Where a handler posts its steps: `steps_url` if it is one of the server that is configured.

    Anybody may have written that header, and the API key goes along.
    """
    own = f"/{quote(connection.client_id)}/steps"
    try:
        parts = urlsplit(steps_url)
        is_own = _origin(connection.url) == _origin(steps_url) and parts.path.endswith(own)
    except ValueError:
        return own
    return steps_url if is_own and not (parts.query or parts.fragment or "@" in parts.netloc) else own


def steps_path(connection: ApiTarget, steps_url: str, token: str, trace: str, build: str) -> StepsPath:
    """The same with the headers of a handler's posts: its attempt's token, its trace and its build."""
    given = {headers.ATTEMPT_TOKEN: token, headers.TRACEPARENT: trace, headers.BUILD: build}
    target = steps_target(connection, steps_url)
    return StepsPath(target, {name: value for name, value in given.items() if value})


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


@dataclass(frozen=True, slots=True)
class ResultsQuery:
    """The results of a handler's own steps, with the token of the attempt that asks."""

    client_id: str
    run_id: str
    parent: str
    token: str

    def request(self, **more: str) -> HttpRequest:
        """For one page."""
        query = urlencode({"parent": self.parent, **more})
        return HttpRequest(
            method="GET",
            target=f"/{quote(self.client_id)}/runs/{quote(self.run_id)}/results?{query}",
            headers={headers.ATTEMPT_TOKEN: self.token},
        )


class _Result(NamedTuple):
    kind: str
    status: str
    fingerprint: str
    finished_at: str
    response: Any


@dataclass(slots=True)
class Results:
    """Those of one handler. `is_complete`: no step that it had posted a moment ago is missing."""

    is_complete: bool = True
    _steps: dict[str, _Result] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def outcome(
        self, step_id: str, document: Mapping[str, Any], *, changes_live: bool = False
    ) -> Outcome | None:
        """What became of the step that this document would post; None when it has to be posted.

        `changes_live`: the post says something to a live step. Raises NotFinishedError for any other one.
        """
        known = self._steps.get(step_id)
        if known is None:
            return None
        self._asked.add(step_id)
        is_value = document.get("kind") == "value"
        if not is_value and known.fingerprint != fingerprint(document.get("payload")):
            return None
        if known.status in LIVE and not changes_live:
            raise NotFinishedError("Not finished in time.", step_id=step_id)
        if known.status != "succeeded":
            return None
        return Outcome(ended_at=known.finished_at, was_replayed=True, response=known.response)

    def has_event(self, step_id: str) -> bool:
        """Whether an event is known to have been opened, so that it need not be posted for its id."""
        known = self._steps.get(step_id)
        if known is None or known.status == "cancelled":
            return False
        self._asked.add(step_id)
        return True

    def is_live(self, step_id: str) -> bool:
        """Whether a step that the handler has left behind is known to be live. It counts as asked for."""
        self._asked.add(step_id)
        known = self._steps.get(step_id)
        return known is not None and known.status in LIVE

    def learn(self, step_id: str, value: Outcome) -> None:
        """A value that was stored meanwhile, which further calls are to have without a request."""
        self._steps[step_id] = _Result("value", "succeeded", "", value.ended_at, value.response)
        self._asked.add(step_id)

    @property
    def unused(self) -> int:
        """How many the handler has not asked for. Events do not count: others may open those."""
        return sum(
            known.kind != "event" for step_id, known in self._steps.items() if step_id not in self._asked
        )

    def add(self, document: Any, query: ResultsQuery) -> str | None:
        """Take a page, as far as it can be read; the cursor of the next one."""
        if not isinstance(document, dict) or document.get("parent") != query.parent:
            self.is_complete = False
            return None
        steps = document.get("steps")
        for step in steps if isinstance(steps, list) else ():
            self._take(step)
        cursor = document.get("next")
        self.is_complete &= isinstance(steps, list) and (cursor is None or isinstance(cursor, str))
        return cursor if isinstance(cursor, str) else None

    def _take(self, step: Any) -> None:
        try:
            is_done = step["status"] == "succeeded"
            texts = [step["id"], step["kind"], step["status"], step["fingerprint"]]
            texts.append(step["finishedAt"] if is_done else "")
            response = step["response"] if is_done else None
        except (KeyError, TypeError):
            texts, response = [None], None
        if not all(isinstance(text, str) for text in texts):
            self.is_complete = False
            return
        step_id, kind, status, print_, finished_at = texts
        self._steps[step_id] = _Result(kind, status, print_, finished_at, response)


def read_results(query: ResultsQuery | None, patience_s: float) -> Flow[Results]:
    """All of them; without a query, or when the server has none, nothing is known."""
    results = Results(is_complete=query is not None)
    more: dict[str, str] = {}
    while query is not None:
        document = yield from _page(query.request(**more), patience_s)
        cursor = results.add(document, query)
        # A cursor that does not move on would be asked for without an end.
        if cursor is None or cursor <= more.get("after", ""):
            results.is_complete &= cursor is None
            break
        more = {"after": cursor}
    return results


def read_one(
    query: ResultsQuery, step_id: str, document: Mapping[str, Any], patience_s: float
) -> Flow[Outcome | None]:
    """The outcome of one step as it stands now; None when there is none, or the server does not tell.

    Raises what passes, as a server that is busy: then the answer may come later.
    """
    answer = yield from exchange(query.request(id=step_id), min(patience_s, _PATIENCE_S))
    found = Results()
    found.add(_document(answer), query)
    return found.outcome(step_id, document)


def _page(request: HttpRequest, patience_s: float) -> Flow[Any]:
    try:
        return _document((yield from exchange(request, min(patience_s, _PATIENCE_S))))
    except TRANSIENT:
        return None


def _document(answer: HttpResponse) -> Any:
    try:
        return json.loads(answer.body) if answer.status == 200 else None
    except ValueError:
        return None
