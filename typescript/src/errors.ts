/**
 * All errors of the SDK. Each has a stable `code`: for a refusal of the API, the name of the problem type.
 *
 * AtomicError
 * ├── NoAnswerError         no answer within the client's patience
 * ├── NotFinishedError      the caller's own limit is over; the step goes on
 * ├── StepFailedError       the step failed: `step-failed`, `start-expired`, `event-expired`, `heartbeat-missed`,
 * │                         `event-rejected`, `run-failed`, `run-differs`, `run-cycle`
 * ├── CancelledError        `cancelled`, `step-cancelled`, `run-cancelled`
 * ├── ConditionNotMetError  `ctx.until` has no attempt or no time left
 * ├── SagaFailedError       what a saga called is undone
 * ├── SerializationError    a value would not come back from JSON unchanged
 * └── RefusedError          the API refused the request: `invalid-request`, `not-found`, `payload-mismatch`, …
 */

import type { StepOutcome } from "./documents.ts";

/** Something went wrong between this program and Atomic. */
export class AtomicError extends Error {
  override readonly name: string = "AtomicError";
  /** The part of the documentation about errors with this code. */
  readonly help: string;

  /** `code`: a stable name for programs. */
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.help = `troubleshooting.md#${code}`;
  }
}

/** No answer came within the client's patience. Posting again with the same key is safe. */
export class NoAnswerError extends AtomicError {
  override readonly name = "NoAnswerError";

  constructor(url: string, cause: unknown) {
    super("no-answer", `No answer from ${url}: ${reasonOf(cause)}. Posting the same again is safe.`, {
      cause,
    });
  }
}

/** The step goes on. To get its outcome, make the same start again with the same key. */
export class NotFinishedError extends AtomicError {
  override readonly name = "NotFinishedError";

  /** `stepId`: the step that goes on; `undefined` where a gateway answered for the server. */
  constructor(readonly stepId: string | undefined) {
    super("not-finished", "The step goes on: the same start waits again.");
  }
}

/** The step is a dead letter: fix its endpoint and redrive it, or catch this and go on without it. */
export class StepFailedError extends AtomicError {
  override readonly name = "StepFailedError";

  /** `failure`: what the API says about the step. */
  constructor(
    code: string,
    message: string,
    readonly failure: StepFailure,
  ) {
    super(code, message);
  }
}

/** What the API says about a step that failed; members are null where there is nothing to say. */
export interface StepFailure {
  /** The id of the step. */
  readonly id: string;
  readonly stepName: string | null;
  readonly stepInvokeUrl: string | null;
  readonly attempts: number;
  readonly lastStatus: number | null;
  readonly lastError: string | null;
  /** The reason, for programs: one of the kinds of docs/errors.md. */
  readonly lastErrorKind: string | null;
  /** The name of the error that the endpoint threw, if it said so. */
  readonly lastErrorType: string | null;
  readonly finishedAt: string | null;
  /** The last answer of the endpoint; of a rejected event, what was sent. */
  readonly response: unknown;
  /** The run that the step started, if it is a child run. */
  readonly childRunId?: string | null;
}

/** The run or the step was cancelled. To run it again, start it with a new key. */
export class CancelledError extends AtomicError {
  override readonly name = "CancelledError";
}

/** What `ctx.until` waits for did not come about in time. */
export class ConditionNotMetError extends AtomicError {
  override readonly name = "ConditionNotMetError";

  /** `attempts`: how often it was checked; `state`: what the last check found. */
  constructor(
    message: string,
    readonly attempts: number,
    readonly state: unknown,
  ) {
    super("condition-not-met", message);
  }
}

/** What a saga called is undone, except where an undo failed: those are dead letters. */
export class SagaFailedError extends AtomicError {
  override readonly name = "SagaFailedError";

  /** `because`: the error that ended the saga, as it was recorded; `errors`: those of undos that failed. */
  constructor(
    saga: string,
    readonly because: string,
    readonly errors: readonly unknown[],
    options?: ErrorOptions,
  ) {
    super(
      "saga-failed",
      `${saga} was undone: ${because}.${errors.map((each) => ` An undo failed: ${each}`).join("")}`,
      options,
    );
  }
}

/** A value cannot be stored unchanged; the message says where and what to change. */
export class SerializationError extends AtomicError {
  override readonly name = "SerializationError";

  constructor(message: string) {
    super("not-serializable", message);
  }
}

/** The API refused the request; `code` is the name of the problem type, `status` that of the answer. */
export class RefusedError extends AtomicError {
  override readonly name = "RefusedError";

  /** `problem`: the whole problem document (RFC 9457); empty for an answer that is not Atomic's. */
  constructor(
    code: string,
    message: string,
    readonly status: number,
    readonly problem: Readonly<Record<string, unknown>> = {},
  ) {
    super(code, message);
  }
}

const URI = "urn:atomic:problem:";
const OF_ITS_OWN = /^(start-expired|event-(expired|rejected)|heartbeat-missed|run-(failed|differs|cycle))$/;

/** The code of a failure: that of its kind of error (docs/errors.md), if that has one. */
function codeOf(kind: unknown, otherwise: string): string {
  const code = `${kind}`.replace("child", "run").replace("gone", "failed").replace("_", "-");
  return OF_ITS_OWN.test(code) ? code : otherwise;
}

/** The error for an unsuccessful answer; `document` is its body as JSON, `undefined` if it has none. */
export function errorOf(url: string, status: number, document: unknown): AtomicError {
  const problem = (document ?? {}) as Record<string, unknown>;
  const name = `${problem.type}`.split(URI)[1];
  if (status === 504) {
    return new NotFinishedError(name && `${problem.id}`);
  }
  if (!name) {
    return foreign(url, status);
  }
  const detail = `${problem.detail}`;
  const code = codeOf(problem.lastErrorKind, name);
  if (status === 424 || OF_ITS_OWN.test(code)) {
    return new StepFailedError(code, detail, problem as unknown as StepFailure);
  }
  if (name === "cancelled" || name === "step-cancelled") {
    return new CancelledError(name, detail);
  }
  return new RefusedError(name, detail, status, problem);
}

/** Throw what a settled step that did not succeed means. */
export function checkSucceeded(step: StepOutcome): void {
  if (step.status === "failed") {
    const { error: lastError, errorKind: lastErrorKind, errorType: lastErrorType, responseStatus: lastStatus } = step;
    const failure = { ...step, lastError, lastErrorKind, lastErrorType, lastStatus };
    const detail = `The step failed at attempt ${step.attempts}: ${lastError}`;
    throw new StepFailedError(codeOf(lastErrorKind, "step-failed"), detail, failure);
  }
  if (step.status === "cancelled") {
    const isAlone = step.errorKind === "step_cancelled";
    throw new CancelledError(isAlone ? "step-cancelled" : "cancelled", "The step was cancelled.");
  }
}

/** When the step ended whose failure this is; empty for an error that is no failure of a step. */
export function endOf(error: unknown): string {
  return (error instanceof StepFailedError && error.failure.finishedAt) || "";
}

/** The error for an answer that is not Atomic's, but that of a proxy, a login page or another server. */
function foreign(url: string, status: number): RefusedError {
  const code = status >= 500 ? "unavailable" : status === 429 ? "too-many-requests" : "refused";
  return new RefusedError(code, `${url} answered ${status}, but not like Atomic: a proxy?`, status);
}

/** The reason of an error of `fetch`, whose own message is only "fetch failed". */
function reasonOf(error: unknown): string {
  const { code, message } = ((error as Error).cause ?? error) as { code?: string; message?: string };
  return message || code || `${error}`;
}

/** Errors that are the outcome of a step, so that handlers may catch them. Others come from the server or the network. */
export function isOutcome(error: AtomicError): boolean {
  return (
    error instanceof StepFailedError ||
    error instanceof CancelledError ||
    /^(invalid-request|too-large|url-not-allowed|too-deep|not-serializable)$/.test(error.code)
  );
}
