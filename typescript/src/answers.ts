/** The answer of an endpoint: a result, an error, or the steps that it waits for. */

import { UnreadableError } from "./call.ts";
import {
  AtomicError,
  CancelledError,
  NoAnswerError,
  NotFinishedError,
  RefusedError,
  StepFailedError,
} from "./errors.ts";
import { writeJson } from "./json.ts";

/** Throw it in an endpoint when another attempt would be useless: the step fails at once. */
export class NonRetryable extends Error {
  override readonly name: string = "NonRetryable";
}

/** Throw it in an endpoint to be called again after so many seconds at the earliest, a day at most. */
export class RetryAfter extends Error {
  override readonly name: string = "RetryAfter";

  constructor(
    readonly seconds: number,
    message = "not yet",
  ) {
    super(message);
  }
}

const NO_RETRY = { "atomic-no-retry": "true" };
const ERROR_TYPE = /^[A-Za-z0-9_]{1,100}$/;
const ERROR_TYPES_MAX = 20;
// What the answer for a step that failed says of it.
const TOLD = /^(id|step|attempts$|last|response$)/;
// Proxies accept about 4 KiB of headers. One of the steps is enough for the handler to be called again.
export const NAMED_MAX = 40;
const BUSY = /^(too-many-requests|unavailable|storage-full)$/;

/** 200 with a result. Throws SerializationError. */
export function success(result: unknown, what: string): Response {
  return new Response(writeJson(result ?? null, what), { headers: { "content-type": "application/json" } });
}

/** 202: the endpoint is called again when these steps have ended as `wake` says (default: any of them). */
export function suspension(stepIds: readonly string[], wake: Readonly<Record<string, string>> = {}): Response {
  return new Response(null, {
    status: 202,
    headers: { "atomic-waiting-for": stepIds.slice(0, NAMED_MAX).join(", "), ...wake },
  });
}

/** Whether an error is no outcome of a step: a replay may not meet it. */
export function isTransient(error: unknown): boolean {
  return (
    error instanceof NoAnswerError ||
    error instanceof NotFinishedError ||
    (error instanceof RefusedError && BUSY.test(error.code))
  );
}

/** The answer for an error of an endpoint. `isCancelled`: it was called because its run is cancelled. */
export function failure(error: unknown, isCancelled = false): Response {
  if (error instanceof Response) {
    return error;
  }
  if (isCancelled && error instanceof CancelledError && error.code === "run-cancelled") {
    return problem(409, error.message, { "atomic-cancelled": "true" });
  }
  if (error instanceof UnreadableError) {
    return problem(error.status, error.message, error.status === 400 ? NO_RETRY : {});
  }
  const types = typesOf(error);
  // By its name where another copy of the package threw it.
  if (error instanceof NonRetryable || types.includes("NonRetryable")) {
    return problem(500, messageOf(error) || "NonRetryable", NO_RETRY);
  }
  if (error instanceof RetryAfter || types.includes("RetryAfter")) {
    const { seconds } = error as RetryAfter;
    return problem(503, messageOf(error), { "retry-after": `${Math.max(Math.ceil(seconds), 0)}` });
  }
  if (isTransient(error)) {
    return problem(503, messageOf(error), { "atomic-refused": "true" });
  }
  if (error instanceof StepFailedError) {
    const members = Object.entries(error.failure).filter(([name]) => TOLD.test(name));
    const step = Object.fromEntries(members);
    return problem(500, error.message, NO_RETRY, { ...step, type: "urn:atomic:problem:step-failed" });
  }
  if (error instanceof AtomicError) {
    return problem(500, error.message, NO_RETRY);
  }
  const named = { "atomic-error-type": types.slice(0, ERROR_TYPES_MAX).join(", ") };
  return problem(500, `${types[0] ?? "Error"}: ${messageOf(error)}`, named);
}

/** The names of an error's classes, its own first, that a retry policy may name. */
function typesOf(error: unknown): string[] {
  const names: string[] = [];
  if (error instanceof Error) {
    names.push(error.name);
    for (let kind: unknown = error.constructor; typeof kind === "function"; kind = Object.getPrototypeOf(kind)) {
      names.push(kind.name);
    }
  }
  return [...new Set(names)].filter((name) => ERROR_TYPE.test(name));
}

function messageOf(error: unknown): string {
  return String((error as Error | undefined)?.message ?? error);
}

function problem(
  status: number,
  detail: string,
  headers: Record<string, string>,
  members: Record<string, unknown> = {},
): Response {
  const document = { ...members, status, detail: detail.replaceAll(/\p{Surrogate}/gu, "\ufffd") };
  return new Response(JSON.stringify(document), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}
