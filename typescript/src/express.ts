/** Endpoints on Express 4 and 5, and on Connect: `app.use("/users", express(users))`, before `express.json()`. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { node } from "./node.ts";
import type { Fetching } from "./web.ts";

/** A handler of Express and Connect. */
export function express(
  endpoints: Fetching,
): (request: IncomingMessage, response: ServerResponse, next?: unknown) => Promise<void> {
  return node(endpoints, "call app.use(path, express(endpoints)) before app.use(express.json())");
}
