/** The TypeScript SDK of Atomic: durable workflows made of plain HTTP endpoints. */

import { Context } from "./context.ts";
import { Endpoints, type EndpointsOptions } from "./endpoints.ts";

export { NonRetryable, RetryAfter } from "./answers.ts";
export { Batch, type BatchItem, type BatchOptions } from "./batches.ts";
export type { Call } from "./call.ts";
export type { Logger } from "./calls.ts";
export type { RunHandle, RunOptions } from "./child_runs.ts";
export {
  Atomic,
  type EventAddress,
  type EventOutcome,
  type RetryPolicy,
  type RunFilter,
  type RunHooks,
  type StartOptions,
  type StepOptions,
  type WaitOptions,
  type WorkflowReference,
} from "./client.ts";
export type { UntilOptions } from "./conditions.ts";
export { type Branch, Context, type MapOptions } from "./context.ts";
export type { CallOptions, Jsonify, Served } from "./core_context.ts";
export type { AttemptRecord, RunDocument, RunSummary, Status, StepDocument, StepOutcome } from "./documents.ts";
export type { Duration } from "./durations.ts";
export { type Endpoint, Endpoints, type EndpointsOptions, type Step, type Workflow } from "./endpoints.ts";
export {
  AtomicError,
  CancelledError,
  ConditionNotMetError,
  NoAnswerError,
  NotFinishedError,
  RefusedError,
  SagaFailedError,
  SerializationError,
  StepFailedError,
  type StepFailure,
} from "./errors.ts";
export { EventClient } from "./event_client.ts";
export {
  type CallbackOptions,
  type EventOptions,
  type EventsOptions,
  OpenedEvent,
  type OpenOptions,
} from "./events.ts";
export type { ConnectionOptions } from "./http.ts";
export type { Saga, SagaOptions, Undo, Undoing } from "./sagas.ts";
export type { Schema, Schemas } from "./schemas.ts";
export { AmbiguousStepError } from "./scope.ts";

/** Functions that are served below one URL. */
export function endpoints(options: EndpointsOptions = {}): Endpoints<Context> {
  return new Endpoints(Context, options);
}
