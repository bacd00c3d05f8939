/** The TypeScript SDK of Atomic: durable workflows made of plain HTTP endpoints. */

export { NonRetryable, RetryAfter } from "./answers.ts";
export type { Call } from "./call.ts";
export {
  Atomic,
  type EventAddress,
  type EventOutcome,
  type RetryPolicy,
  type RunFilter,
  type StartOptions,
  type StepOptions,
  type WaitOptions,
  type WorkflowReference,
} from "./client.ts";
export {
  AmbiguousStepError,
  type CallOptions,
  Context,
  type EventOptions,
  type Jsonify,
  type Served,
} from "./context.ts";
export type { AttemptRecord, RunDocument, RunSummary, Status, StepDocument, StepOutcome } from "./documents.ts";
export type { Duration } from "./durations.ts";
export { type Endpoint, Endpoints, type EndpointsOptions, endpoints } from "./endpoints.ts";
export {
  AtomicError,
  CancelledError,
  NoAnswerError,
  NotFinishedError,
  RefusedError,
  SerializationError,
  StepFailedError,
  type StepFailure,
} from "./errors.ts";
export type { ConnectionOptions } from "./http.ts";
