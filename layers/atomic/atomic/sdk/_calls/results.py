"""Where a handler posts, and the results of what its earlier attempts posted.

A handler that is called again first reads these results. A step without a result is posted again. A result
is used when the handler would post the same step now: the same identity, and a payload with the same
fingerprint. For a value, the same identity is enough. When a result is missing, old, cut off or malformed,
the handler posts the step, and the server's answer counts. So a faulty result costs a request and never
changes an outcome.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from pydantic_core import from_json

from atomic.protocol import headers
from atomic.protocol.enums import LIVE
from atomic.protocol.urls import parse_url
from atomic.sdk._calls.call import Call
from atomic.sdk._wire.api import Outcome
from atomic.sdk._wire.canonical import canonical_json
from atomic.sdk._wire.repeats import exchange
from atomic.sdk._wire.transport import TRANSIENT, ApiTarget, Flow, HttpRequest, HttpResponse, StepsPath
from atomic.sdk.errors import NotFinishedError

# The handler does not wait longer for its results. Without them it posts its steps again.
_PATIENCE_S: Final = 1.0


def steps_path(
    connection: ApiTarget, call: Call, build: str, trace: Callable[[], str] | None = None
) -> StepsPath:
    """The target and the headers of a handler's posts: the attempt token, the trace and the build."""
    given = {
        headers.ATTEMPT_TOKEN: call.attempt_token,
        headers.TRACEPARENT: call.traceparent,
        headers.BUILD: build,
    }
    target = steps_target(connection, call.steps_url)
    return StepsPath(target, {name: value for name, value in given.items() if value}, trace)


@lru_cache(maxsize=256)
def steps_target(connection: ApiTarget, steps_url: str) -> str:
    """The target of a handler's posts: `steps_url` if it is configured, or of the configured server.

    Otherwise it is the path of the client there. Any caller can write the header with `steps_url`, and each
    post contains the API key.
    """
    path = f"/{quote(connection.client_id)}/steps"
    own = connection.steps_url + path
    if connection.sign is not None:
        # Signed requests have paths of their own.
        return own
    try:
        configured, given = parse_url(connection.steps_url or connection.url), parse_url(steps_url)
    except ValueError:
        return own
    is_own = configured[:3] == given[:3] and given.target.endswith(path) and "?" not in given.target
    return steps_url if is_own else own


def fingerprint(payload: Any) -> str:
    """The server's fingerprint of a payload that `_wire.values` has written: SHA-256, in hex digits."""
    return hashlib.sha256(canonical_json(payload)).hexdigest()


@dataclass(frozen=True, slots=True)
class ResultsQuery:
    """A request for the results of a handler, with the token of its attempt."""

    client_id: str
    run_id: str
    parent: str
    token: str

    def request(self, **more: str) -> HttpRequest:
        """The request for one page; `more` are further query parameters."""
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
    callback_url: str = ""
    continued_as: str = ""

    def is_posted_by(self, documents: Iterable[Mapping[str, Any]]) -> bool:
        """Whether one of these documents would post this step. For a value, the same identity is enough."""
        return any(
            document.get("kind") == "value" or self.fingerprint == fingerprint(document.get("payload"))
            for document in documents
        )


@dataclass(slots=True)
class Results:
    """The results of one handler. `is_complete`: all pages were read, and no step is missing."""

    is_complete: bool = True
    _steps: dict[str, _Result] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def outcome(
        self, step_id: str, documents: Iterable[Mapping[str, Any]], *, changes_live: bool = False
    ) -> Outcome | None:
        """The outcome of the step that one of these documents would post; None when it must be posted.

        They differ in the encoding of the payload. `changes_live`: the post may change a live step, so it
        must be posted. Otherwise, a live step raises NotFinishedError.
        """
        known = self._steps.get(step_id)
        if known is None:
            return None
        self._asked.add(step_id)
        if not known.is_posted_by(documents):
            return None
        if known.status in LIVE and not changes_live:
            raise NotFinishedError("Not finished in time.", step_id=step_id)
        if known.status != "succeeded":
            return None
        return Outcome(known.finished_at, True, known.response, continued_as=known.continued_as or None)

    def has(self, step_id: str) -> bool:
        """Whether an earlier attempt is known to have posted the step."""
        return step_id in self._steps

    def has_ended(self, step_id: str) -> bool:
        """Whether a step is known to have ended, with any outcome."""
        return step_id in self._steps and self._steps[step_id].status not in LIVE

    def lacks(self, step_id: str) -> bool:
        """Whether no earlier attempt has posted the step, as far as these results are complete."""
        return self.is_complete and step_id not in self._steps

    def callback_url(self, step_id: str, *, is_told: bool) -> str | None:
        """The callback URL of an event that is known to be open or done, empty if the server gave none.

        None for any other event: it must be posted. `is_told`: the run is being cancelled, which has ended
        the event since an earlier attempt opened it.
        """
        known = self._steps.get(step_id)
        if known is None or (known.status == "cancelled" and not is_told):
            return None
        self._asked.add(step_id)
        return known.callback_url

    def has_run(self, step_id: str, documents: Iterable[Mapping[str, Any]]) -> bool:
        """Whether a run is known to be started by one of these documents. If so, no post is needed.

        A failed one is posted again: the server's answer says whether the run could be started.
        """
        known = self._steps.get(step_id)
        if known is None or known.status == "failed":
            return False
        self._asked.add(step_id)
        return known.is_posted_by(documents)

    def is_live(self, step_id: str) -> bool:
        """Whether a step that the handler no longer waits for is known to be live. It counts as used."""
        self._asked.add(step_id)
        known = self._steps.get(step_id)
        return known is not None and known.status in LIVE

    def may_be_live(self, step_id: str) -> bool:
        """Whether a step that an earlier attempt posted is not known to have ended: the results may lag."""
        return self.is_live(step_id) or step_id not in self._steps

    def learn(self, step_id: str, value: Outcome) -> None:
        """Add a value that was stored after the results were read. Later calls need no request for it."""
        self._steps[step_id] = _Result("value", "succeeded", "", value.ended_at, value.response)
        self._asked.add(step_id)

    @property
    def unused(self) -> int:
        """The number of steps that the handler has not used. Events do not count: others may open them."""
        return sum(
            known.kind != "event" for step_id, known in self._steps.items() if step_id not in self._asked
        )

    @property
    def is_ahead(self) -> bool:
        """Whether an earlier attempt posted a step that the handler has not asked for yet."""
        return not self._steps.keys() <= self._asked

    def add(self, document: Any, query: ResultsQuery) -> str | None:
        """Add the readable steps of a page. Returns the cursor of the next page, or None."""
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
            more = [step.get("callbackUrl", ""), step.get("continuedAs") or ""]
            response = step["response"] if is_done else None
            if is_done:
                datetime.fromisoformat(texts[-1])
        except (KeyError, TypeError, ValueError):
            texts, response, more = [None], None, [""]
        if not all(isinstance(text, str) for text in (*texts, *more)):
            self.is_complete = False
            return
        step_id, kind, status, print_, finished_at = texts
        self._steps[step_id] = _Result(kind, status, print_, finished_at, response, *more)


def read_results(query: ResultsQuery | None, patience_s: float) -> Flow[Results]:
    """Read all results. Without a query, or when the server has no results, they are empty."""
    results = Results(is_complete=query is not None)
    more: dict[str, str] = {}
    while query is not None:
        document = yield from _page(query.request(**more), patience_s)
        cursor = results.add(document, query)
        # A cursor that does not advance would make this loop endless.
        if cursor is None or cursor <= more.get("after", ""):
            results.is_complete &= cursor is None
            break
        more = {"after": cursor}
    return results


def read_one(
    query: ResultsQuery, step_id: str, document: Mapping[str, Any], patience_s: float
) -> Flow[Outcome | None]:
    """Read the outcome of one step now; None when it has none, or when the server does not give it.

    Raises transient errors, for example of a busy server: a later request may succeed.
    """
    answer = yield from exchange(query.request(id=step_id), min(patience_s, _PATIENCE_S))
    found = Results()
    found.add(_document(answer), query)
    return found.outcome(step_id, [document])


def is_posted(query: ResultsQuery, known: Results, step_id: str, patience_s: float) -> Flow[bool]:
    """Whether the step exists now. Adds the step to what is known.

    True also when the answer does not say: a step that is taken for posted is posted again, and is undone
    with the others. A step that is taken for new may have had an effect, which nothing would undo. Raises
    transient errors.
    """
    answer = yield from exchange(query.request(id=step_id), min(patience_s, _PATIENCE_S))
    # It has the same steps. Whether it is complete depends on this answer only.
    found = replace(known, is_complete=True)
    found.add(_document(answer), query)
    return not found.lacks(step_id)


def _page(request: HttpRequest, patience_s: float) -> Flow[Any]:
    try:
        return _document((yield from exchange(request, min(patience_s, _PATIENCE_S))))
    except TRANSIENT:
        return None


def _document(answer: HttpResponse) -> Any:
    try:
        return from_json(answer.body) if answer.status == 200 else None
    except ValueError:
        return None
