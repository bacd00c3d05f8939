/** Endpoints on Node's own `http` and `http2`: `createServer(node(users))`. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { answerOf } from "./node_request.ts";
import type { Fetching } from "./web.ts";

/** A request listener, and a handler of what stands on them. `cure`: what is said where a parser has read the body. */
export function node(
  endpoints: Fetching,
  cure = "give this handler the request before the parser",
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    // Express and Connect set `originalUrl` where a router has cut the beginning of the path off.
    const { originalUrl, url = "/" } = request as IncomingMessage & { originalUrl?: string };
    const answer = await answerOf(endpoints, request, originalUrl ?? url, cure);
    if (answer !== undefined) {
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(new Uint8Array(await answer.arrayBuffer()));
    }
  };
}
