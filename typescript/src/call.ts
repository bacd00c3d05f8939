/** One call of an endpoint by Atomic. */

import { SerializationError } from "./errors.ts";
import type { SignatureRefusedError, SignedCall } from "./signatures.ts";

/** What an endpoint is told of its call. */
export interface Call {
  readonly runId: string;
  readonly stepId: string;
  readonly workflowName: string;
  /** The same in each attempt: give it to what must happen once. */
  readonly idempotencyKey: string;
  /** From 1. */
  readonly attempt: number;
  /** Whether the run is being cancelled, and this call of its workflow may undo what earlier ones did. */
  readonly isCancelled: boolean;
  /** The root of the run that goes on as this one. */
  readonly continuedFrom: string | undefined;
  /** The URL that was called, without its query. */
  readonly url: string;
  /** What was sent with it, such as the proof of its attempt, which a handler sends with what it posts. */
  readonly headers: Headers;
}

/** The request is no call of Atomic; answer it with `status`. */
export class UnreadableError extends Error {
  constructor(
    readonly status: 400 | 401,
    message: string,
  ) {
    super(message);
  }
}

/** Accepts a call, and resolves to the URL for which it was signed. Rejects with SignatureRefusedError. */
export type Check = (call: SignedCall, path: string) => Promise<string>;

/** What reads a request: the check of its signature, if there is one, and the base URL, if it is known. */
export interface Reading {
  readonly check: Check | undefined;
  readonly baseUrl: string;
  readonly parse: (json: string) => unknown;
}

/** The call and its payload. Throws UnreadableError. */
export async function readCall(request: Request, { check, baseUrl, parse }: Reading): Promise<[Call, unknown]> {
  if (request.bodyUsed) {
    throw new UnreadableError(400, "The body has been read, and its signature cannot be checked: serve this before.");
  }
  const body = new Uint8Array(await request.arrayBuffer());
  const sent = new URL(request.url);
  let signedUrl = "";
  try {
    signedUrl = (await check?.({ headers: request.headers, body }, decodeURIComponent(sent.pathname))) ?? "";
  } catch (error) {
    const isRefused = (error as Partial<SignatureRefusedError>).code === "signature-refused";
    throw isRefused ? new UnreadableError(401, (error as Error).message) : error;
  }
  const envelope = document(body, parse);
  const { runId, stepId, workflowName, idempotencyKey, attempt } = envelope;
  const names = { runId, stepId, workflowName, idempotencyKey };
  if (typeof attempt !== "number" || Object.values(names).some((name) => typeof name !== "string")) {
    foreign();
  }
  const call = {
    ...(names as { [Name in keyof typeof names]: string }),
    attempt: attempt as number,
    isCancelled: envelope.cancelled === true,
    continuedFrom: (envelope.continuedFrom ?? undefined) as string | undefined,
    url: baseUrl === "" ? signedUrl.split("?")[0] || sent.origin + sent.pathname : baseUrl + sent.pathname,
    headers: request.headers,
  };
  return [call, envelope.payload];
}

function document(body: Uint8Array, parse: (json: string) => unknown): Record<string, unknown> {
  let read: unknown;
  try {
    read = parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    throw error instanceof SerializationError ? new UnreadableError(400, error.message) : foreign();
  }
  return Object(read) === read ? (read as Record<string, unknown>) : foreign();
}

function foreign(): never {
  throw new UnreadableError(400, "This is an endpoint for Atomic: start it through Atomic.");
}
