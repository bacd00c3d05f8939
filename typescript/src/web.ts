/** What all adapters share: the part of endpoints that they need, the size of a call, and the refusal of a parsed body. */

import { failure } from "./answers.ts";
import { UnreadableError } from "./call.ts";

/** Endpoints, or any other handler of the web's own requests. */
export interface Fetching {
  readonly fetch: (request: Request) => Promise<Response>;
}

/** A call has a payload of up to 2 MiB, whose JSON may be longer than its compact form. */
export const BODY_MAX_BYTES: number = 8 * 1024 * 1024;

/** The answer where a parser has read the body. It is not written again: the signature is of the bytes that were sent. */
export function parsedBody(cure: string): Response {
  return failure(new UnreadableError(400, `A parser has read the body, and its signature cannot be checked: ${cure}.`));
}

/** The answer to a body that no call has. */
export function tooLarge(): Response {
  return new Response("No call of Atomic is as large as this.", { status: 413 });
}
