/** Endpoints on Koa: `app.use(koa(users, "/users/"))`, or `router.post("/users/:step", koa(users))`. */

import type { IncomingMessage } from "node:http";
import { answerOf } from "./node_request.ts";
import type { Fetching } from "./web.ts";

/** What is used of Koa's context. */
export interface KoaContext {
  readonly req: IncomingMessage;
  readonly path: string;
  readonly originalUrl: string;
  status: number;
  body: unknown;
  set(fields: Record<string, string>): void;
}

const CURE = "call app.use(koa(endpoints, prefix)) before the parser, or let the parser pass these paths over";

/** A middleware. What does not begin with `prefix` goes to the next one. */
export function koa(
  endpoints: Fetching,
  prefix = "/",
): (context: KoaContext, next: () => Promise<unknown>) => Promise<void> {
  return async (context, next) => {
    if (!context.path.startsWith(prefix)) {
      await next();
      return;
    }
    const answer = await answerOf(endpoints, context.req, context.originalUrl, CURE);
    if (answer !== undefined) {
      context.status = answer.status;
      context.body = Buffer.from(await answer.arrayBuffer());
      context.set(Object.fromEntries(answer.headers));
    }
  };
}
