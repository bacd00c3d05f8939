/** Endpoints on Next.js, in `app/users/[step]/route.ts`: `export const { POST } = next(users);`. */

import type { Fetching } from "./web.ts";

/**
 * A route handler of the app router. Next stores no answer to a POST; `export const dynamic = "force-dynamic"` beside it
 * says so, where an option of the application makes routes static.
 */
export function next(endpoints: Fetching): { readonly POST: (request: Request) => Promise<Response> } {
  const post = (request: Request): Promise<Response> => endpoints.fetch(request);
  return { POST: post };
}
