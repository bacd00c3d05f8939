"""What a refusal means, and what to do about it: the text of `/docs#<name>` for each problem type.

`make troubleshooting` writes the same text into docs/troubleshooting.md.
"""

from typing import Final, NamedTuple

from atomic.domain.hooks import HOOKS_MAX
from atomic.domain.retentions import DAY_MS, RETENTION_MS, RETENTIONS_MAX
from atomic.domain.workflow_pauses import WORKFLOW_PAUSES_MAX
from atomic.protocol import problems
from atomic.protocol.constants import BODY_MAX_BYTES, PAYLOAD_MAX_BYTES, SCHEDULES_MAX
from atomic.protocol.problems import ProblemType

_MIB: Final = 1024 * 1024


class Help(NamedTuple):
    """Why a problem comes, and the cure. `page` is a part of the documentation that says more."""

    why: str
    cure: str
    page: str


HELP: Final[dict[ProblemType, Help]] = {
    problems.INVALID_REQUEST: Help(
        "A field, a header or a part of the path is missing, misspelt, or has a value that is not allowed.",
        "Read `errors` in the body: it names each field and says what is allowed. Posting the same again "
        "gives the same answer.",
        "protocol.md#start-or-attach-post-clientid",
    ),
    problems.UNAUTHORIZED: Help(
        "The request has no API key, or the key is unknown, has expired, was revoked, or is of another "
        "server. A start token has expired.",
        "Send `Authorization: Bearer <API key>`; the SDKs take the key from `ATOMIC_API_KEY`. `atomic "
        "clients create` makes a client with a key. If every key is refused after a restore, the file "
        "`key-pepper` was not restored.",
        "locked.md",
    ),
    problems.URL_NOT_ALLOWED: Help(
        "The URL of the step is under no base URL of the client, so Atomic would not call it.",
        "Use a URL under a base URL, or have the operator add one: `atomic clients base-urls`. Scheme, "
        "host, port and whole parts of the path are compared.",
        "locked.md",
    ),
    problems.ATTEMPT_TOKEN_REQUIRED: Help(
        "Only the program that was called as an attempt of this step may do this: read results, answer "
        "later, or go on as another run. The token of the attempt is missing, or is that of another step.",
        "Send the header `Atomic-Attempt-Token` of the call, unchanged. The SDKs do it by themselves.",
        "protocol.md#answer-later",
    ),
    problems.BEYOND_TOKEN: Help(
        "A page with a start token starts another workflow, URL or key than the token allows, or sets "
        "something that a token may not set.",
        "`detail` names the field. Change the start, or let your server make a token that allows it.",
        "protocol.md#start-tokens",
    ),
    problems.FOREIGN_ORIGIN: Help(
        "A browser sent the request from a page of another origin than the server's own. Behind a proxy, "
        "the dashboard's own requests look like this when the proxy changes `Host`.",
        "Let the proxy pass `Host` on unchanged. For a page of yours, list its origin: `atomic clients "
        "origins`, or `--allow-origin` with `--dev`.",
        "operations.md#behind-a-proxy",
    ),
    problems.FOREIGN_CALLER: Help(
        "The server runs with `--dev-network`, without API keys, and the caller's address is outside of "
        "that network.",
        "Call it from inside of the network, or run a server with API keys.",
        "servers.md#containers",
    ),
    problems.NOT_FOUND: Help(
        "There is no such path, client, run, step or schedule; or it belongs to another client, the key "
        "lacks the scope, or the run is no longer kept. The answer is the same in all cases, so that "
        "nobody can find out what others have.",
        "Check the client's id in the path (`ATOMIC_CLIENT_ID`), the id of the run, and the scopes of the "
        f"key. Runs are kept for {RETENTION_MS // DAY_MS} days after their end by default. A server with "
        "`--dev` has no clients to manage.",
        "protocol.md#authentication-and-tracing",
    ),
    problems.METHOD_NOT_ALLOWED: Help(
        "The path exists, but not with this method.",
        "The header `Allow` of the answer lists the methods.",
        "protocol.md",
    ),
    problems.CANCELLED: Help(
        "The run was cancelled, so it takes no more steps and its outcome is fixed.",
        "Start the work again under a new idempotency key. A handler lets this error pass.",
        "protocol.md#act",
    ),
    problems.STEP_CANCELLED: Help(
        "Somebody cancelled this one step, or a step above it. Its run goes on.",
        "In the handler, catch the error and go on without the step.",
        "protocol.md#act",
    ),
    problems.IS_ROOT: Help(
        "The step is the root of its run, which cannot be cancelled alone.",
        "Cancel the run: `POST …/runs/{runId}/cancel`, `atomic cancel`.",
        "protocol.md#act",
    ),
    problems.ATTEMPT_OVER: Help(
        "The answer was posted after its attempt had ended: it was too late, or another attempt has begun.",
        "Drop the answer; it is noted and changes nothing. If it happens often, let the endpoint ask for "
        "more time (`Atomic-Answer-Within`).",
        "protocol.md#answer-later",
    ),
    problems.NOT_AN_OPEN_EVENT: Help(
        "The result is for a step that is no event, for an event that has ended, or for a workflow that "
        "has ended. `detail` says which.",
        "Read the step. The outcome of an event never changes, so a second result is dropped.",
        "protocol.md#events-by-name",
    ),
    problems.TOO_DEEP: Help(
        "Thirty-two runs have started each other, one inside the other, and the last one starts another.",
        "Look for a workflow that starts itself without an end. For a loop, let the run go on as another "
        "one (`ctx.continue_as`, `ctx.continueAs`).",
        "protocol.md#child-runs",
    ),
    problems.RUN_EXISTS: Help(
        "The key of the run that is to go on, or to be restarted, is that of a run that was started "
        "otherwise.",
        "Send another key. `runId` names the run that has it.",
        "protocol.md#go-on-as-another-run",
    ),
    problems.BUSY: Help(
        "Another run has the same `singleton` key and has not ended. Nothing was started.",
        "Wait until that run has ended (`runId`, `Location`), cancel it, or choose another `onBusy`.",
        "protocol.md#one-run-of-a-key",
    ),
    problems.RUN_CYCLE: Help(
        "The run would wait for a run that waits for it, so neither could end.",
        "Start the run without waiting for it: `detached`.",
        "protocol.md#child-runs",
    ),
    problems.NOT_REDRIVABLE: Help(
        "The dead letter's run was cancelled, or its workflow went on without the step and succeeded. "
        "`notRedrivableReason` says which.",
        "Start the work again under a new idempotency key.",
        "errors.md#dead-letters",
    ),
    problems.RUN_ENDED: Help(
        "The run has ended, so there is nothing to pause.",
        "Nothing has to be done.",
        "protocol.md#pause-and-resume",
    ),
    problems.RUN_LIVE: Help(
        "The run has not ended, or has steps that have not ended, and only one that has can be restarted "
        "or erased.",
        "Wait for its end, or cancel it first. `atomic runs show` lists the live steps.",
        "protocol.md#erase-a-run",
    ),
    problems.NOT_FAILED: Help(
        "Only a run that failed can be dismissed.",
        "Nothing has to be done.",
        "protocol.md#causes-of-failures",
    ),
    problems.NOT_RESCHEDULABLE: Help(
        "The step waits for no moment that could be moved: it has ended, is being called, or waits for a "
        "result or for other steps.",
        "`detail` says for what it waits. Post the event's result, or ask the same of one of `waitingFor`.",
        "protocol.md#start-later-or-now",
    ),
    problems.EVENT_ENDED: Help(
        "The callback URL was used before, or its event expired or was cancelled. `stepStatus` says which.",
        "The one who has the URL need not repeat it: the outcome never changes.",
        "protocol.md#callback-urls",
    ),
    problems.TOO_MANY_SCHEDULES: Help(
        f"The client has {SCHEDULES_MAX:,} schedules.",
        "Delete those that are over.",
        "schedules.md",
    ),
    problems.TOO_MANY_HOOKS: Help(
        f"The client has {HOOKS_MAX} hooks.",
        "Delete one, or let one hook take the events of several workflows.",
        "hooks.md",
    ),
    problems.TOO_MANY_PAUSES: Help(
        f"The client has {WORKFLOW_PAUSES_MAX} paused workflows.",
        "Resume one of them. To stop all calls, start the server with `--paused`.",
        "operations.md#stop-all-calls-in-an-incident",
    ),
    problems.TOO_MANY_RETENTIONS: Help(
        f"The client has {RETENTIONS_MAX} workflows with a retention of their own.",
        "End the retention of one of them.",
        "protocol.md#retention-of-a-workflow",
    ),
    problems.CLIENT_CONFLICT: Help(
        "The change does not fit what the client has: its id is taken, it has two live keys or signing "
        "secrets already, it has several keys and none was named, or another request changed it at the "
        "same moment.",
        "`detail` says which, and what to do first.",
        "protocol.md#operate",
    ),
    problems.TOO_LARGE: Help(
        f"A payload or a result is longer than {PAYLOAD_MAX_BYTES // _MIB} MiB as compact JSON, or a body "
        f"longer than {BODY_MAX_BYTES // _MIB} MiB.",
        "Store the data elsewhere and send a reference to it.",
        "large-payloads.md",
    ),
    problems.MISDIRECTED: Help(
        "The name in the header `Host` is none of the server's own. This stops web pages that reach a "
        "server on your machine by another name.",
        "Use `127.0.0.1` or `localhost`, or start the server with its name in `--public-url`; further "
        "names are added by `--allow-host NAME`.",
        "operations.md#behind-a-proxy",
    ),
    problems.PRECONDITION_FAILED: Help(
        "Somebody else changed the schedule since you read it, or it exists already (`If-None-Match: *`).",
        "Read it again, and repeat the change with its new `ETag`.",
        "schedules.md",
    ),
    problems.PAYLOAD_MISMATCH: Help(
        "The same identity (workflow, URL or name, parent and key) was posted before with another "
        "payload. Two pieces of work have one key; or a handler makes a payload from something that "
        "differs from call to call (the time, a random number, a read of a database, the order of a set); "
        "or its code has changed while its run goes on.",
        "`difference` names the first part that differs. For new work, use a new key. In a handler, get "
        "such values from a step or a value (`ctx.run`, `ctx.now`), so that they are recorded. For a "
        "change of code, use `ctx.version`, or redrive after a deployment of the old code.",
        "python.md#the-rule-of-replay",
    ),
    problems.STEP_FAILED: Help(
        "The endpoint failed at its last attempt, or forbade another one. The step is a dead letter. "
        "`lastError` and `response` say what the endpoint said.",
        "Repair the endpoint, then `atomic redrive`: the workflow goes on from there. A handler may also "
        "catch the error and go on without the step.",
        "errors.md#dead-letters",
    ),
    problems.EVENT_EXPIRED: Help(
        "Nobody posted the event's result before its `deadline`, or no heartbeat came in time.",
        "Catch the error in the handler and do what is right without an answer: remind, ask another one, "
        "or end the work.",
        "protocol.md#events-by-name",
    ),
    problems.EVENT_REJECTED: Help(
        "Somebody rejected the event. `response` is what they sent.",
        "Catch the error in the handler and go on without the result.",
        "protocol.md#events-by-name",
    ),
    problems.TOO_MANY_REQUESTS: Help(
        "The client reached its limit of starts per second or of live steps, or too many attempts are "
        "under way at the destination.",
        "Wait as long as `Retry-After` says, and post the same again; the SDKs do it. If it lasts, ask "
        "the operator for a higher limit (`atomic clients limits`), or let starts wait their turn by flow "
        "control.",
        "flow.md",
    ),
    problems.INTERNAL: Help(
        "The server met an error of its own. Its log has the type of the error and where it was raised.",
        "Post the same again; under the same key nothing is doubled. If it comes again, report it with "
        "the line of the log.",
        "operations.md#what-a-log-line-may-say",
    ),
    problems.UNAVAILABLE: Help(
        "The store does not answer, the disk is full, the server is shutting down, or it has no room for "
        "more callers.",
        "Post the same again after `Retry-After`; the SDKs do it. The operator looks at disk and log.",
        "operations.md#the-embedded-server",
    ),
    problems.STORAGE_FULL: Help(
        "The payloads and answers that are kept for the client have reached its limit of stored bytes.",
        "Ask the operator for a higher limit, keep runs for less time, or store data elsewhere and send "
        "references.",
        "operations.md#keep-runs-for-less-time",
    ),
    problems.NOT_FINISHED: Help(
        "The step is not done within the caller's `timeout`. It goes on.",
        "Post the same again to wait for it, or read the step at `Location`. It is no failure.",
        "protocol.md#answers",
    ),
}
