"""The asynchronous client (`pip install atomic-workflows[async]`)."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from atomic.protocol.client_documents import StartTokenDocument
from atomic.protocol.documents import (
    DeadLetter,
    RunDocument,
    RunSummary,
    StepDocument,
    StepOutcome,
)
from atomic.protocol.enums import StatusName
from atomic.sdk._wire import answers, api, lists
from atomic.sdk._wire.api import Key, check_options, start_document
from atomic.sdk._wire.client_actions import ActionsOfAsyncClient
from atomic.sdk._wire.client_causes import CausesOfAsyncClient
from atomic.sdk._wire.client_counters import CountersOfAsyncClient
from atomic.sdk._wire.client_events import EventsOfAsyncClient
from atomic.sdk._wire.client_loads import LoadsOfAsyncClient
from atomic.sdk._wire.client_records import RecordsOfAsyncClient
from atomic.sdk._wire.encodings import first_accepted
from atomic.sdk._wire.in_process import CURRENT, driven
from atomic.sdk._wire.lists import ListFilter, RunListFilter, filter_document
from atomic.sdk._wire.sessions import Sessions, require_aiohttp
from atomic.sdk._wire.start_options import StartOptions, members_of_root
from atomic.sdk._wire.transport import Flow, HttpRequest, HttpResponse, drive_async
from atomic.sdk._wire.values import jsonable
from atomic.sdk.client_bulk import AsyncClientBulk
from atomic.sdk.client_hooks import AsyncClientHooks
from atomic.sdk.errors import AttemptOverError
from atomic.sdk.flow_keys import AsyncFlowKeys
from atomic.sdk.retry import Seconds
from atomic.sdk.schedules import AsyncSchedules

Result = TypeVar("Result")


class AsyncClient(
    ActionsOfAsyncClient,
    CausesOfAsyncClient,
    CountersOfAsyncClient,
    EventsOfAsyncClient,
    LoadsOfAsyncClient,
    RecordsOfAsyncClient,
):
    """Starts and reads workflows, and acts on them, on asyncio. It needs `atomic-workflows[async]`.

    - `url`: the server (default: ATOMIC_URL, else http://127.0.0.1:8787).
    - `client_id`: the client whose runs these are (default: ATOMIC_CLIENT_ID, else "dev").
    - `api_key`: its key (default: ATOMIC_API_KEY, else none).
    - `patience`: how long lost connections, 429 and 503 in a row are retried, in seconds or as a timedelta
      (default 30). A retry is safe, since every request may be repeated.
    - `codec`: a `Codec` for payloads, results and events (default: none). `get`, `step` and lists show what
      is stored.
    - `auth`: "iam" signs requests with the process's credentials of AWS in place of a key, for a `url` that
      ends with /iam; or a function that returns the headers that authorize a request, from its method, URL
      and body (default: ATOMIC_AUTH, else none).

    Every method raises subclasses of `AtomicError`; `atomic.sdk.errors` shows them all. The constructor
    raises ValueError for an invalid URL, and for invalid settings in the environment. It
    raises ModuleNotFoundError when aiohttp is not installed.

    Event loops may share a client. Each gets connections of its own, which close with it; `async with
    AsyncClient() as client` closes them at the end of the block.
    """

    def _open(self) -> None:
        require_aiohttp()
        self._sessions = Sessions(self.connection)

    @property
    def bulk(self) -> AsyncClientBulk:
        """Bulks: the same act on all runs that fit a filter."""
        return AsyncClientBulk(self)

    @property
    def flow_keys(self) -> AsyncFlowKeys:
        """The limits that steps share: what they let in now, and what is pinned."""
        return AsyncFlowKeys(self)

    @property
    def hooks(self) -> AsyncClientHooks:
        """The hooks: URLs that Atomic calls when runs end, or are paused, or steps fail."""
        return AsyncClientHooks(self)

    @property
    def schedules(self) -> AsyncSchedules:
        """The schedules: workflows that Atomic starts by itself."""
        return AsyncSchedules(self)

    async def start(
        self,
        workflow_name: str,
        url: str,
        payload: Any = None,
        *,
        key: Key,
        timeout: Seconds | None = 60.0,  # noqa: ASYNC109 - a limit of the call, not of its task
        **options: Unpack[StartOptions],
    ) -> StepOutcome:
        """Start a workflow, or attach to the run of the same name, URL and key, and wait for its outcome.

        - `workflow_name`: the name of the run in lists.
        - `url`: the endpoint of the workflow.
        - `payload`: the input of the endpoint: JSON values, a model, a dataclass (default None).
        - `key`: says which run this is (a str, an int or a UUID). A second start with it starts nothing.
        - `timeout`: seconds, or a timedelta, to wait for the outcome (default 60). None waits for ever; 0
          returns the run as soon as it is stored.
        - `retry`: how often a failed attempt is repeated, as a `Retry` or a number of retries (default: 25,
          with growing pauses of 1 s to 2 minutes).
        - `delay`: seconds, or a timedelta, before the first attempt (default 0).
        - `start_at`: when to make the first attempt, as a datetime with a time zone, in place of `delay`
          (default: at once, as for a time that is over).
        - `start_by`: it fails unless its first attempt has begun by then: a datetime, or seconds or a
          timedelta after its start (default: no limit).
        - `deadline`: seconds, or a timedelta, that the run may take in total (default: no limit).
        - `attempt_timeout`: seconds, or a timedelta, that one HTTP attempt may take (default 20).
        - `on_lost`: what to do when Atomic does not know whether an attempt was made: "repeat" (the
          default) calls the step again, "fail" lets it fail.
        - `flow`: a `Flow`, or a list of them: limits that it shares with others (default: none).
        - `singleton`: a `Singleton`: one run of its key goes on at a time (default: none).
        - `debounce`: a `Debounce`: of a burst of starts only the last one runs (default: none).
        - `paused`: whether it is paused from its start, and begins when it is resumed (default False).
        - `tags`: up to 8 names with values by which the run is found, such as {"customer": "c-17"}
          (default: none).
        - `hooks`: events with URLs that are called then, such as {"run.failed": url}; the others are
          "run.succeeded", "run.cancelled" and "run.paused" (default: none).

        Returns the outcome: `status`, `response`, `run_id`, `id` (that of the root step) and more. If the
        run went on by `ctx.continue_as`, this is the outcome of the last run; with a `timeout` of 0, it is
        that of the first one, with `continued_as`.

        Raises `NotFinishedError` when `timeout` is over (the run goes on), `StepFailedError` when the run
        has failed, `CancelledError` when it was cancelled, `PayloadMismatchError` when the key came with
        another payload before, `SerializationError` for a payload without a JSON form,
        `InvalidRequestError` for a wrong option, `DecodingError`, `UrlNotAllowedError`, `TooLargeError`,
        `TooManyRequestsError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        check_options(options, StartOptions)
        written = self._written(payload, workflow_name, key)
        document = start_document(workflow_name, url, written.newest, key=key, options=options)
        document |= members_of_root(options)
        limits = api.Deadline.from_now(timeout, self.patience_s)
        flow = first_accepted(
            written, lambda each: api.start(self.client_id, {**document, "payload": each}, limits)
        )
        return self._read(await self.run_flow(flow))

    async def wait(
        self,
        step_id: str,
        *,
        timeout: Seconds | None = 60.0,  # noqa: ASYNC109 - as above
    ) -> StepDocument:
        """Wait for the outcome of a step. The outcome of a run is that of its root step.

        - `step_id`: the id of the step.
        - `timeout`: seconds, or a timedelta, to wait (default 60). None waits for ever; 0 asks once.

        Returns the step, which has succeeded. If it is a root that went on by `ctx.continue_as`, this is
        the root of the last run.

        Raises `NotFinishedError` when `timeout` is over (the step goes on), `StepFailedError`,
        `CancelledError`, `DecodingError`, `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        ended = await self.run_flow(
            api.wait(self.client_id, step_id, api.Deadline.from_now(timeout, self.patience_s))
        )
        return self._read(ended)

    async def get(self, run_id: str) -> RunDocument:
        """Read a run with all of its steps and their attempts.

        - `run_id`: the id of the run.

        Returns the run: `run` (a summary), `root` (the root step) and `steps`, oldest first.

        Raises `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(api.get_run(self.client_id, run_id, self.patience_s))

    async def step(self, step_id: str) -> StepDocument:
        """Read a step with its attempts, whatever its state.

        - `step_id`: the id of the step.

        Returns the step.

        Raises `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(api.get_step(self.client_id, step_id, self.patience_s))

    async def runs(
        self, *, status: StatusName | None = None, limit: int = 100, **wanted: Unpack[RunListFilter]
    ) -> list[RunSummary]:
        """List runs, newest first. A filter that is left out selects all.

        - `status`: only runs in this state, one of "pending", "running", "retrying", "waiting",
          "succeeded", "failed", "cancelled".
        - `limit`: how many runs to return at most (default 100).
        - `workflow_name`: only this workflow name.
        - `key_prefix`: idempotency keys that begin with it.
        - `created_after`, `created_before`: RFC 3339 times, as in "2026-11-23T07:38:00Z".
        - `key_contains`: idempotency keys with this text in them.
        - `error_kind`: only with this error, such as "timed_out"; `response_status`: only those whose
          endpoint answered this status last.
        - `tag`: a tag that the runs have, as "name:value", or a list of tags that they all have.
        - `cause`: only runs that failed for this cause, by its id (`causes`).
        - `dismissed`: only failed runs: True for those that were dismissed, False for those that need
          action.
        - `waits_for`: only live runs of which a live step waits for this: "event", "retry", "run" (one that
          it has started), "slot" (of flow control), "timer", or the run for a "resume".

        Returns summaries of the runs.

        Raises `InvalidRequestError` for a wrong filter, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        query = {**({"status": status} if status else {}), **filter_document(wanted, RunListFilter)}
        return await self.run_flow(lists.list_runs(self.client_id, query, limit, self.patience_s))

    async def dead_letters(self, *, limit: int = 100, **wanted: Unpack[ListFilter]) -> list[DeadLetter]:
        """List steps that have failed, newest first. A filter that is left out selects all.

        - `limit`: how many steps to return at most (default 100).
        - `workflow_name`: only this workflow name.
        - `key_prefix`: idempotency keys that begin with it.
        - `created_after`, `created_before`: RFC 3339 times, as in "2026-11-23T07:38:00Z".
        - `key_contains`: idempotency keys with this text in them.
        - `tag`: only of runs with this tag, as "name:value", or with all of several tags.
        - `error_kind`: only with this error, such as "timed_out"; `response_status`: only those whose
          endpoint answered this status last.
        - `cause`: only those whose own error has this cause, by its id (`causes`).

        Returns dead letters, each with its step and last error.

        Raises `InvalidRequestError` for a wrong filter, `UnauthorizedError`, `NoAnswerError` or
        `UnavailableError`.
        """
        flow = lists.list_dead_letters(
            self.client_id, filter_document(wanted, ListFilter), limit, self.patience_s
        )
        return await self.run_flow(flow)

    async def start_token(
        self,
        workflows: Mapping[str, str],
        *,
        key_prefix: str | None = None,
        expires_in: Seconds | None = None,
        steps: bool = False,
    ) -> StartTokenDocument:
        """Make a short-lived key for a page: it starts these workflows, and reads what it started.

        - `workflows`: the URL of each workflow, by name, that the token may start.
        - `key_prefix`: the keys of its runs begin with it, as in "user-42:" (default: a new prefix, which
          the result shows). It ends with a character that is no letter or digit. Giving it takes a key
          with the scope `read`.
        - `expires_in`: seconds, or a timedelta, until it expires (default 15 minutes; a day at most).
        - `steps`: whether it may also read the steps of its runs (default False: only their outcomes). It
          needs a key for `read`.

        Returns the token, with `expires_at` and `key_prefix`. Nothing is stored for it. It ends with the
        API key of this client at the latest.

        Raises `InvalidRequestError` for a wrong option, `UrlNotAllowedError`, `UnauthorizedError`,
        `NotFoundError` when the key is not for `start`, `NoAnswerError` or `UnavailableError`.
        """
        return await self.run_flow(
            api.start_token(
                self.client_id,
                workflows,
                self.patience_s,
                key_prefix=key_prefix,
                expires_in=expires_in,
                steps=steps,
            )
        )

    async def answer(self, token: str, result: Any = None) -> StepOutcome:
        """Answer a call whose endpoint answers later, with its result. The same call may be repeated.

        - `token`: the `answer_token` of the call.
        - `result`: what the endpoint would have returned: JSON values, a model, a dataclass (default None).

        Returns the step as it is afterwards.

        Raises `AttemptOverError` when the attempt has ended otherwise, `SerializationError` for a result
        without a JSON form, `InvalidRequestError`, `TooLargeError`, `RefusedError` for a token of another
        server, `NotFoundError`, `UnauthorizedError`, `NoAnswerError` or `UnavailableError`.
        """
        step_id, given = token.partition("/")[0], jsonable(result, "the answer")
        flow = first_accepted(
            self._coder.result(given, step_id, "step", "the answer"),
            lambda body: answers.answer(self.client_id, token, {"body": body}, self.patience_s),
            AttemptOverError,
        )
        return await self.run_flow(flow)

    async def answer_failed(self, token: str, error: Exception) -> StepOutcome:
        """Answer a call whose endpoint answers later, as if the endpoint had raised this error.

        - `token`: the `answer_token` of the call.
        - `error`: the exception: it is retried, unless it is a `NonRetryable`.

        Returns the step as it is afterwards.

        Raises `AttemptOverError` when the attempt has ended otherwise, `InvalidRequestError`,
        `RefusedError` for a token of another server, `NotFoundError`, `UnauthorizedError`, `NoAnswerError`
        or `UnavailableError`.
        """
        document = answers.failure_document(error)
        return await self.run_flow(answers.answer(self.client_id, token, document, self.patience_s))

    async def close(self) -> None:
        """Close the connections of the running event loop. They open again when the client is used."""
        await self._sessions.close()

    async def run_flow(self, flow: Flow[Result]) -> Result:
        """Send the requests that a `flow` of the SDK yields; the result of the flow. Internal."""
        from asyncio import sleep

        current = CURRENT.get()
        if current is not None:
            return await current.join(driven(current, flow))
        return await drive_async(flow, self._send, sleep)

    async def _send(self, request: HttpRequest) -> HttpResponse:
        return await self._sessions.send(request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
