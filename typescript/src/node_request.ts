/** Requests of Node's `http` and `http2` as those of the web, for the adapters of frameworks that stand on them. */

import type { IncomingMessage } from "node:http";
import { failure } from "./answers.ts";
import { BODY_MAX_BYTES, type Fetching, parsedBody, tooLarge } from "./web.ts";

/** The answer to a request, `undefined` where its client has gone. `path` is the one that was called, with its query. */
export async function answerOf(
  endpoints: Fetching,
  request: IncomingMessage,
  path: string,
  cure: string,
): Promise<Response | undefined> {
  try {
    const body = await bodyOf(request);
    if (body === "parsed") {
      return parsedBody(cure);
    }
    return body === "large" ? tooLarge() : await endpoints.fetch(webRequest(request, path, body));
  } catch (error) {
    if (!request.complete) {
      return undefined;
    }
    // Endpoints answer for what fails in a handler, so this is a secret or a URL that is none.
    console.error(`${path} cannot be served:`, error);
    return failure(error);
  }
}

/** A request of the web. */
export function webRequest(request: IncomingMessage, path: string, body: Uint8Array | undefined): Request {
  const headers = new Headers();
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] ?? "";
    // HTTP/2 has the method and the path among them.
    if (!name.startsWith(":")) {
      headers.append(name, request.rawHeaders[at + 1] ?? "");
    }
  }
  const host = headers.get("host") ?? request.headers[":authority"] ?? "localhost";
  const isTls = "encrypted" in request.socket;
  // Not `new URL(path, origin)`, which takes the host from a path like `//other/x`.
  const url = path.startsWith("/") ? `http${isTls ? "s" : ""}://${host}${path}` : path;
  const method = request.method ?? "POST";
  const hasBody = method !== "GET" && method !== "HEAD" && body !== undefined;
  return new Request(url, { method, headers, ...(hasBody ? { body: body as BodyInit } : {}) });
}

/** The bytes that were sent. Some hosts keep them as `rawBody`, and a parser of bytes has them as `body`. */
async function bodyOf(request: IncomingMessage): Promise<Uint8Array | "parsed" | "large"> {
  const { body, rawBody } = request as { body?: unknown; rawBody?: unknown };
  const kept = rawBody ?? body;
  if (kept instanceof Uint8Array) {
    return kept;
  }
  if (request.readableDidRead) {
    return "parsed";
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    // What is too large is read to its end, so that the client gets the answer, but it is not kept.
    if (bytes <= BODY_MAX_BYTES) {
      chunks.push(chunk);
    }
  }
  return bytes > BODY_MAX_BYTES ? "large" : Buffer.concat(chunks);
}
