/** The documents of the API, as docs/protocol.md describes them. Times are RFC 3339 in UTC. */

/** The states of a step; the first four are live. */
export type Status = "pending" | "running" | "retrying" | "waiting" | "succeeded" | "failed" | "cancelled";

/** A root step in lists. */
export interface RunSummary {
  readonly id: string;
  readonly runId: string;
  readonly parent: string | null;
  readonly kind: "http" | "timer" | "event" | "value" | "run";
  readonly workflowName: string;
  readonly stepName: string | null;
  readonly stepInvokeUrl: string | null;
  readonly idempotencyKey: string;
  readonly status: Status;
  readonly generation: number;
  readonly attempts: number;
  readonly error: string | null;
  readonly errorKind: string | null;
  readonly errorType: string | null;
  readonly createdAt: string;
  readonly dueAt: string | null;
  readonly finishedAt: string | null;
  readonly childRunId?: string | null;
  readonly continuedFrom?: string | null;
  readonly continuedAs?: string | null;
  /** Of a root: the run that was started again as this one. */
  readonly restartOf?: string | null;
  /** Of the root of a paused run. `by`: the step because of which it is paused. */
  readonly paused?: {
    readonly since: string;
    readonly until: string | null;
    readonly note: string;
    readonly by: string | null;
  };
  /** Of the root of a failed run: the cause, which other runs may have, and the step because of which it failed. */
  readonly cause?: { readonly id: string; readonly stepId: string };
  /** Of the root of a failed run that was dismissed. */
  readonly dismissed?: { readonly at: string; readonly note: string };
  /** Of a step that waits for a resume of its run. `exhausted`: its retries are used up. */
  readonly rests?: { readonly since: string; readonly exhausted: boolean };
  /** Of a root, or of a step of kind `run` for its run. */
  readonly tags?: Readonly<Record<string, string>>;
}

/** A step with its outcome; `response` is the JSON of its endpoint's answer, null while it is live. */
export interface StepOutcome<Response = unknown> extends RunSummary {
  readonly response: Response;
  readonly responseStatus: number | null;
  /** Only of a start: the run whose outcome this is, in place of its own. */
  readonly attachedTo?: { readonly runId: string; readonly workflowName: string; readonly idempotencyKey: string };
}

/** One attempt of a step; `duration` in milliseconds. */
export interface AttemptRecord {
  readonly number: number;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly duration: number | null;
  readonly outcome: "succeeded" | "retryable" | "permanent" | "suspended" | "deferred" | "no_answer" | null;
  readonly status: number | null;
  readonly error: string | null;
  readonly errorKind: string | null;
  readonly errorType: string | null;
}

/** A step with its payload and its attempts. Durations are milliseconds. */
export interface StepDocument<Response = unknown> extends StepOutcome<Response> {
  readonly payload: unknown;
  readonly delay: number;
  readonly startAt: string | null;
  readonly startBy: string | null;
  readonly deadlineAt: string | null;
  readonly attemptTimeout: number;
  readonly retriesUsed: number;
  readonly waitingFor: readonly string[];
  readonly traceId: string;
  readonly build: string | null;
  readonly attemptLog: readonly AttemptRecord[];
}

/** A run with all of its steps, oldest first. */
export interface RunDocument {
  readonly run: RunSummary;
  readonly root: StepDocument;
  readonly steps: readonly StepDocument[];
}
