/** Endpoints on Hono: `app.all("/users/*", hono(users))`. */

import { type Fetching, parsedBody } from "./web.ts";

/** What is used of Hono's context. */
export interface HonoContext {
  readonly req: { readonly raw: Request };
}

/** A handler. */
export function hono(endpoints: Fetching): (context: HonoContext) => Promise<Response> {
  return async ({ req: { raw } }) =>
    raw.bodyUsed ? parsedBody("add this route before what reads the body, as c.req.json()") : endpoints.fetch(raw);
}
