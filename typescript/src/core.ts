/**
 * The core alone, in at most 8 kB: endpoints whose workflows have steps, values and sleeps. `atomic-workflows`
 * has the same endpoints with all that a context can do.
 */

import { CoreContext } from "./core_context.ts";
import { Endpoints, type EndpointsOptions } from "./endpoints.ts";

export { NonRetryable, RetryAfter } from "./answers.ts";
export type { Call } from "./call.ts";
export { type CallOptions, CoreContext, type Jsonify, type Served } from "./core_context.ts";
export { type Endpoint, Endpoints, type EndpointsOptions, type Step, type Workflow } from "./endpoints.ts";
export type { Schema, Schemas } from "./schemas.ts";
export { AmbiguousStepError } from "./scope.ts";

/** Functions that are served below one URL. */
export function endpoints(options: EndpointsOptions = {}): Endpoints<CoreContext> {
  return new Endpoints(CoreContext, options);
}
