"""What errors of the SDKs mean that are no problem of the API: the text of `/docs#<code>` for each code.

`make troubleshooting` writes the same text into docs/troubleshooting.md.
"""

from typing import Final, NamedTuple


class SdkHelp(NamedTuple):
    """The classes that have a code, why it comes, and the cure. `page` is a part of the documentation."""

    classes: str
    why: str
    cure: str
    page: str


SDK_HELP: Final[dict[str, SdkHelp]] = {
    "ambiguous-step": SdkHelp(
        "TypeScript: `AmbiguousStepError`.",
        "Branches that run side by side called the same step, one after the other. Their order "
        "may differ in the next replay, so the SDK cannot tell which call is which.",
        "Give each call a `key` of its own, or give each branch its own context by `ctx.map` or "
        "`ctx.parallel`.",
        "typescript.md#side-by-side",
    ),
    "condition-not-met": SdkHelp(
        "Python: `ConditionNotMetError`. TypeScript: `ConditionNotMetError`.",
        "`ctx.until` checked as often, or for as long, as it may, and the condition did not hold. "
        "`attempts` and `state` say what the last check found.",
        "Catch it to go on without the condition, or allow more attempts or a later deadline.",
        "python.md#waiting-for-a-condition",
    ),
    "error": SdkHelp(
        "Python: `AtomicError`. TypeScript: `AtomicError`.",
        "It is the class of all errors of the SDK. No error has this code itself, except one of a "
        "class of your own that has none.",
        "Catch it where every error of Atomic is treated alike.",
        "python.md#the-client",
    ),
    "heartbeat-missed": SdkHelp(
        "Python: `HeartbeatMissedError`. TypeScript: `StepFailedError`.",
        "An event asks for heartbeats, and none came in time. Who works on it has probably ended.",
        "Catch it and give the work to another worker. A worker that is alive but slow has to "
        "send heartbeats more often.",
        "protocol.md#heartbeats",
    ),
    "no-answer": SdkHelp(
        "Python: `NoAnswerError`. TypeScript: `NoAnswerError`.",
        "Nothing answered at `ATOMIC_URL` for as long as the client has patience (30 s): no "
        "server runs there, the port or the scheme is wrong, or a firewall is between.",
        "The message has the reason, such as `Connection refused`. Check the URL with `curl "
        "$ATOMIC_URL/health`. Posting the same again under the same key is safe.",
        "python.md#environment",
    ),
    "no-server": SdkHelp(
        "TypeScript: `AtomicError` of `atomic-workflows/testing`.",
        "The test starts a server by the command `atomic`, which is not on the `PATH` or ended at once.",
        "Install the server into the environment in which the tests run (`pip install`, with "
        "`[server]`). The message has what the command said.",
        "typescript.md#test-a-workflow",
    ),
    "non-retryable": SdkHelp(
        "Python: `NonRetryable`, which you raise yourself. In TypeScript it is thrown in the same way.",
        "A step says by it that another attempt is useless. The step fails at once.",
        "Raise it for what will not get better, such as an address that does not exist.",
        "errors.md#in-python",
    ),
    "not-decodable": SdkHelp(
        "Python: `DecodingError`. TypeScript: `EncryptionError`.",
        "A value does not have the form that the codec writes: it was stored without the codec, "
        "by another codec, or was changed where it is stored.",
        "Give the program the codec with which the value was written. If a value was changed, ask "
        "who can write to the store.",
        "encryption.md",
    ),
    "not-serializable": SdkHelp(
        "Python: `SerializationError`. TypeScript: `SerializationError`.",
        "A payload or a result would not come back from JSON unchanged: an object without a "
        "declared type, a set, bytes, `NaN`, a coroutine that was not awaited, `undefined` in an "
        "array.",
        "Declare a type that can be read back (a model, a dataclass), or send another form of the "
        "value. The message names the place.",
        "python.md#what-arrives",
    ),
    "not-served": SdkHelp(
        "TypeScript: `EncryptionError`.",
        "The endpoints and their encryption do not know each other, so values would be sent unencrypted.",
        "Serve the endpoints by `encryption.serve(endpoints)`, and make them with `atomic: "
        "encryption.connection()`.",
        "typescript.md#encrypt-values",
    ),
    "refused": SdkHelp(
        "Python: `RefusedError`. TypeScript: `RefusedError`.",
        "Something that is not Atomic answered: a proxy, a login page, another server. Or the "
        "server redirects, which is not followed.",
        "Read the URL and the status in the message, and correct `ATOMIC_URL`. A problem of "
        "Atomic's has a code of its own.",
        "python.md#the-client",
    ),
    "retry-after": SdkHelp(
        "Python: `RetryAfter`, which you raise yourself. In TypeScript it is thrown in the same way.",
        "A step says by it that it wants to be called again, no sooner than then. It costs a retry.",
        "Raise it while something is busy. To wait for hours, use a timer or an event.",
        "errors.md#in-python",
    ),
    "run-cancelled": SdkHelp(
        "Python: `RunCancelledError`. TypeScript: `CancelledError`.",
        "Somebody cancelled the run gracefully, and the handler may still undo what it did.",
        "Undo, then raise it again, as a saga does. Do not go on with the work.",
        "protocol.md#cancel-a-run-gracefully",
    ),
    "run-differs": SdkHelp(
        "Python: `RunDiffersError`. TypeScript: `StepFailedError`.",
        "The child run to be started exists with another payload or URL.",
        "Give the child run another key. If it is to be the same run, post what was posted first.",
        "protocol.md#child-runs",
    ),
    "run-failed": SdkHelp(
        "Python: `RunFailedError`. TypeScript: `StepFailedError`.",
        "The run that a call has started failed. The message has the reason of that run.",
        "Repair its endpoint and redrive that run: the steps that failed because of it are "
        "redriven as well. Or catch the error and go on without it.",
        "protocol.md#child-runs",
    ),
    "saga-failed": SdkHelp(
        "Python: `SagaFailedError`. TypeScript: `SagaFailedError`.",
        "A saga undid what it had called; an undo failed, or an earlier call of the handler had "
        "undone the saga already. `because` is the error that ended it, `errors` are those of the "
        "undos.",
        "An undo that failed is a dead letter: repair its endpoint and redrive it. To run the "
        "workflow again, start it under a new key.",
        "python.md#sagas",
    ),
    "signature-refused": SdkHelp(
        "TypeScript: `SignatureRefusedError`. An endpoint of either SDK answers such a call with 401.",
        "No known secret or key has signed the call, the call was signed for another URL, or its "
        "time is more than five minutes off. The message says which.",
        "Compare the signing secret of the endpoint with that of the client, and the clocks of "
        "both machines. A proxy must leave the path as it is. If the call was not made by Atomic, "
        "leave it refused.",
        "typescript.md#check-the-signature-of-a-call",
    ),
    "start-expired": SdkHelp(
        "Python: `StartExpiredError`. TypeScript: `StepFailedError`.",
        "The first attempt had not begun by the `startBy` of the start: the server was down or "
        "paused, or flow control held the step back.",
        "If it is still wanted, start it under a new key or redrive it.",
        "protocol.md#start-later-or-now",
    ),
    "time-is-real": SdkHelp(
        "TypeScript: `AtomicError` of `atomic-workflows/testing`.",
        "The test moves the time, and the server has real time.",
        "Start it with `atomic serve --dev --virtual-time`.",
        "testing.md#virtual-time",
    ),
    "unknown-key": SdkHelp(
        "Python: `UnknownKeyError`. TypeScript: `EncryptionError`.",
        "A value is encrypted with a key that this program does not have. `key_id` (`keyId` in "
        "TypeScript) names it. After a rotation, the old key was removed too early.",
        "Give the program that key as well, after the one that it writes with. Keep a key for as "
        "long as values are kept that were written with it.",
        "encryption.md",
    ),
}
