/** The client: starts and reads workflows, and acts on them. */

import type { RunDocument, RunSummary, Status, StepDocument, StepOutcome } from "./documents.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { checkSucceeded, NotFinishedError } from "./errors.ts";
import { type ApiAnswer, Connection, type ConnectionOptions, documentOf, pause, read, spread } from "./http.ts";
import { writeJson } from "./json.ts";

/** A workflow as a client sees it: the name of its runs, and the URL of its endpoint. */
export interface WorkflowReference<Input = unknown, Output = unknown> {
  readonly workflowName: string;
  readonly url: string;
  /** Only for types: what the endpoint takes and gives. It has no value. */
  readonly types?: { readonly input: Input; readonly output: Output };
}

/** When a failed attempt is repeated. Durations as in `Duration`. */
export interface RetryPolicy {
  /** How many times at most (default 25), so 3 allows 4 attempts. */
  readonly count?: number;
  /** The pause before the first retry (default 1 s). */
  readonly backOff?: Duration;
  /** How the pause grows (default `exponential`). */
  readonly strategy?: "exponential" | "linear" | "fixed";
  /** For `exponential` (default 2). */
  readonly factor?: number;
  /** The longest pause (default two minutes). */
  readonly maxBackOff?: Duration;
  /** `full` (the default) draws each pause between 0 and its length. */
  readonly jitter?: "full" | "none";
  /** Retry only these statuses and names of errors, such as `"404,429,5xx"` (default: all but permanent ones). */
  readonly on?: string;
  /** Statuses and names of errors that are not retried. */
  readonly never?: string;
  /** Without a retry left, the step fails (the default), or its run is paused. */
  readonly then?: "fail" | "pause";
}

/** Options of a step that an endpoint runs. */
export interface StepOptions {
  /** The policy, or the number of retries. */
  readonly retry?: RetryPolicy | number;
  /** Before the first attempt. */
  readonly delay?: Duration;
  /** When the first attempt begins, in place of `delay`; a time that is over means at once. */
  readonly startAt?: Date;
  /** It fails unless its first attempt has begun by then, or within this time after its start. */
  readonly startBy?: Date | Duration;
  /** The total time of the step. */
  readonly deadline?: Duration;
  /** The time of one HTTP attempt (default 20 s). */
  readonly attemptTimeout?: Duration;
  /** What to do when Atomic does not know whether an attempt was made. */
  readonly onLost?: "repeat" | "fail";
  /** Limits that it shares with all that name the same keys, four at most. */
  readonly flow?: readonly FlowLimit[];
}

/** A limit that all steps share that name its key. */
export interface FlowLimit {
  /** Letters, digits and `.`, `_`, `~`, `:`, `@`, `-`. */
  readonly key: string;
  /** How many attempts may be under way at a time. */
  readonly concurrency?: number;
  /** At most `limit` attempts begin within `per` milliseconds, evenly spread. */
  readonly rate?: { readonly limit: number; readonly per: number };
  /** `attempt` (the default), or `run`: from the first attempt to the outcome, with the steps below it. */
  readonly scope?: "attempt" | "run";
  /** -5 to 5 (default 0); each one has four turns for one turn of the one below it. */
  readonly priority?: number;
  /** Steps with different values, such as ids of customers, take turns. */
  readonly fair?: string;
}

/** Options that only the root of a run has. */
export interface RootOptions {
  /** Up to 8 names with values by which the run is found, such as `{ customer: "c-17" }`. */
  readonly tags?: Readonly<Record<string, string>>;
  /**
   * One run of the key goes on at a time. While another one has it: `attach` (the default) gives the outcome of that
   * run, `skip` rejects with `busy`, `cancel` cancels that run first, `queue` waits in line.
   */
  readonly singleton?: { readonly key: string; readonly onBusy?: "attach" | "skip" | "cancel" | "queue" };
  /**
   * Of a burst of starts only the last one runs, when `quiet` milliseconds have passed without another one, and at the
   * latest `max` milliseconds after the first. Those before it have its outcome.
   */
  readonly debounce?: { readonly key: string; readonly quiet: number; readonly max?: number };
}

/** Limits of a call of the client. */
export interface WaitOptions {
  /** How long to wait for the outcome (default 60 s). 0 does not wait, `Infinity` waits for ever. */
  readonly timeout?: Duration;
  /** Ends the wait. The run goes on. */
  readonly signal?: AbortSignal;
}

/** Options of a start. */
export interface StartOptions extends StepOptions, RootOptions, WaitOptions {
  /** Says which run this is: a second start with it starts nothing. */
  readonly key: string;
  /** It is paused from its start, and begins when it is resumed. */
  readonly paused?: boolean;
  /** URLs that are called when this happens to the run, as those of `Hooks` of `atomic-workflows/hooks` are. */
  readonly hooks?: RunHooks;
}

/** A URL for each event of a run that is to be told. */
export type RunHooks = { readonly [Event in "run.succeeded" | "run.failed" | "run.cancelled" | "run.paused"]?: string };

/** A filter for runs. Times are RFC 3339. */
export interface RunFilter {
  readonly status?: Status;
  readonly workflowName?: string;
  readonly keyPrefix?: string;
  readonly createdAfter?: string;
  readonly createdBefore?: string;
  /** A tag that the runs have, as `name:value`. */
  readonly tag?: string;
  /** A text that is anywhere in the key. */
  readonly keyContains?: string;
  /** The error, such as `timed_out`. */
  readonly errorKind?: string;
  /** What the endpoint answered last. */
  readonly responseStatus?: number;
  /** Failed runs only: the id of their cause, as `Causes` of `atomic-workflows/causes` lists it. */
  readonly cause?: string;
  /** Failed runs only: those that were dismissed, or, if false, those that need action. */
  readonly dismissed?: boolean;
  /** Live runs only: what one of their live steps waits for, or the run itself for a `resume`. */
  readonly waitsFor?: "event" | "resume" | "retry" | "run" | "slot" | "timer";
  /** How many runs to return at most (default 100). */
  readonly limit?: number;
}

/** An event of a workflow, by its name. */
export type EventAddress = NamedEvent &
  (
    | {
        readonly workflowName: string;
        /** The key of the run. */
        readonly key: string;
      }
    | {
        /** The `stepId` of the workflow that waits, where it is a step of another one. */
        readonly parent: string;
      }
  );

/** Which event of its workflow it is. */
export interface NamedEvent {
  /** The name that the workflow gives to `event`. */
  readonly name: string;
  /** Which event of this name it is, from 1 (the default). */
  readonly number?: number;
}

/** An event whose result was posted by its name. */
export interface EventOutcome {
  readonly id: string;
  readonly runId: string;
  readonly parent: string | null;
  readonly name: string;
  /** `failed` when it was rejected. */
  readonly status: Status;
  /** What it was before: `early` when no workflow had asked for it, `done` by the same result. */
  readonly was: "open" | "early" | "done";
}

// API Gateway ends a request after 29 s; a longer wait is made of several requests.
const WAIT_MAX_MS = 25_000;
// Shorter than any wait that a server has made.
const WAIT_MIN_MS = 500;
const PAUSE_MAX_MS = 5000;

/**
 * Starts and reads workflows. Every method rejects with an `AtomicError`, whose `code` says which; a `signal` that is
 * aborted rejects with its reason.
 */
export class Atomic {
  readonly #connection: Connection;

  /** Options that are left out come from the environment. Throws RefusedError for an invalid URL. */
  constructor(options: ConnectionOptions = {}) {
    this.#connection = new Connection(options);
  }

  /**
   * Start a workflow, or attach to the run of the same name, URL and key, and wait for its outcome.
   *
   * Of a run that goes on as another one, this is the outcome of the last run. Rejects with NotFinishedError when
   * `timeout` is over (the run goes on), StepFailedError, CancelledError, SerializationError, and RefusedError, such as
   * `payload-mismatch` when the key came with another payload before.
   */
  async start<Input, Output>(
    workflow: WorkflowReference<Input, Output>,
    payload: Input,
    options: StartOptions,
  ): Promise<StepOutcome<Output>> {
    const limit = new Limit(options);
    const members = startMembers(workflow, options);
    const what = `the payload of ${workflow.workflowName}`;
    for (let pauseMs = 0; ; ) {
      const waitMs = Math.ceil(Math.min(limit.leftMs(), WAIT_MAX_MS));
      const body = `{${members},"timeout":${Math.max(1, waitMs)},"payload":${writeJson(payload, what)}}`;
      const sentMs = performance.now();
      const answer = await this.#connection.exchange({
        method: "POST",
        path: this.#connection.path(),
        body,
        headers: waitMs > 0 ? {} : { prefer: "respond-async" },
        waitMs,
        signal: options.signal,
      });
      if (answer.status === 200 || (answer.status === 202 && limit.isNone)) {
        const outcome = read<StepOutcome<Output>>(this.#connection, answer);
        const next = outcome.continuedAs;
        return next == null || limit.isNone ? outcome : this.#wait<Output>(next, limit);
      }
      if (answer.status !== 504 && answer.status !== 202) {
        throw this.#connection.errorOf(answer);
      }
      pauseMs = await limit.pauseBetween(sentMs, pauseMs, idOf(answer));
    }
  }

  /** Wait for the outcome of a step. The outcome of a run is that of its root step. Rejects as `start` does. */
  async wait(stepId: string, options: WaitOptions = {}): Promise<StepDocument> {
    return this.#wait(stepId, new Limit(options));
  }

  /** Read a run with all of its steps and their attempts. */
  async get(runId: string): Promise<RunDocument> {
    let path: string | null = this.#connection.path("runs", runId);
    let last: (RunDocument & { next: string | null }) | undefined;
    const steps: StepDocument[] = [];
    while (path !== null) {
      last = await documentOf<RunDocument & { next: string | null }>(this.#connection, { method: "GET", path });
      steps.push(...last.steps);
      path = last.next;
    }
    const { next: _, ...whole } = last as RunDocument & { next: string | null };
    return { ...whole, steps };
  }

  /** Read a step with its attempts, whatever its state. */
  step(stepId: string): Promise<StepDocument> {
    return documentOf(this.#connection, { method: "GET", path: this.#connection.path("steps", stepId) });
  }

  /** List runs, newest first. A filter that is left out selects all. */
  async runs({ limit = 100, ...wanted }: RunFilter = {}): Promise<RunSummary[]> {
    const found: RunSummary[] = [];
    const query = new URLSearchParams({ ...wanted, limit: Math.min(limit, 100) } as object as Record<string, string>);
    let path: string | null = `${this.#connection.path("runs")}?${query}`;
    while (path !== null && found.length < limit) {
      const page: { runs: RunSummary[]; next: string | null } = await documentOf(this.#connection, {
        method: "GET",
        path,
      });
      found.push(...page.runs);
      path = page.next;
    }
    return found.slice(0, limit);
  }

  /**
   * Cancel a run and its live steps; one that has ended stays as it is. With `graceful`, its workflow is called once
   * more and may undo what it did, for at most `within` (default 60 s).
   */
  cancel(runId: string, options: { graceful?: boolean; within?: Duration } = {}): Promise<RunSummary> {
    const mode = options.graceful ? "graceful" : undefined;
    return this.#act("runs", runId, "cancel", { ...timesOf(options, ["within"]), mode });
  }

  /** Pause a run: nothing of it is called until it is resumed, or `until`. `note` says why, for people. */
  pause(runId: string, options?: { note?: string; until?: Date }): Promise<RunSummary> {
    return this.#act("runs", runId, "pause", options);
  }

  /** Let a paused run go on. A step that has used up its retries gets all of them again. */
  resume(runId: string): Promise<RunSummary> {
    return this.#act("runs", runId, "resume");
  }

  /** Cancel one step and the live steps below it; its run goes on. */
  cancelStep(stepId: string): Promise<StepOutcome> {
    return this.#act("steps", stepId, "cancel");
  }

  /** Make a step that waits for a moment due now, or `at` one: retry it, end a sleep, start it at another time. */
  due(stepId: string, options?: { at?: Date }): Promise<StepOutcome> {
    return this.#act("steps", stepId, "due", options);
  }

  /** Give a dead letter its full number of attempts again. Any other step stays as it is. */
  redrive(stepId: string): Promise<StepOutcome> {
    return this.#act("steps", stepId, "redrive");
  }

  /** Give an event its result by its name, also before its run exists or waits for it. The same call may be repeated. */
  signal(event: EventAddress, result: unknown = null): Promise<EventOutcome> {
    return this.#event(event, `"result":${writeJson(result, `the result of event '${event.name}'`)}`);
  }

  /** Reject an event by its name: it throws in the workflow. `detail` says why, for people. */
  reject(event: EventAddress, detail: string, more: Readonly<Record<string, unknown>> = {}): Promise<EventOutcome> {
    return this.#event(event, `"reject":${writeJson({ ...more, detail }, "the rejection")}`);
  }

  #event(event: EventAddress, outcome: string): Promise<EventOutcome> {
    const body = `${JSON.stringify(eventMembers(event)).slice(0, -1)},${outcome}}`;
    return documentOf(this.#connection, { method: "POST", path: this.#connection.path("events"), body });
  }

  #act<Document>(what: "runs" | "steps", id: string, action: string, members: object = {}): Promise<Document> {
    const path = this.#connection.path(what, id, action);
    return documentOf(this.#connection, { method: "POST", path, body: JSON.stringify(members) });
  }

  async #wait<Output>(stepId: string, limit: Limit): Promise<StepDocument<Output>> {
    for (let id = stepId, pauseMs = 0; ; ) {
      const waitMs = Math.ceil(Math.min(limit.leftMs(), WAIT_MAX_MS));
      const sentMs = performance.now();
      const path = `${this.#connection.path("steps", id)}?wait=${waitMs}`;
      const step = await documentOf<StepDocument<Output>>(this.#connection, {
        method: "GET",
        path,
        waitMs,
        signal: limit.signal,
      });
      if (step.finishedAt !== null) {
        if (step.continuedAs == null || step.kind === "run") {
          checkSucceeded(step);
          return step;
        }
        id = step.continuedAs;
        continue;
      }
      pauseMs = await limit.pauseBetween(sentMs, pauseMs, id);
    }
  }
}

/** How long a call may last. */
class Limit {
  readonly signal: AbortSignal | undefined;
  readonly isNone: boolean;
  readonly #untilMs: number;

  constructor({ timeout = 60_000, signal }: WaitOptions) {
    const ms = timeout === Number.POSITIVE_INFINITY ? (timeout as number) : milliseconds("timeout", timeout);
    this.signal = signal;
    this.isNone = ms === 0;
    this.#untilMs = performance.now() + ms;
  }

  leftMs(): number {
    return Math.max(0, this.#untilMs - performance.now());
  }

  /** Pause between two waits: not at all, or longer and longer while the server answers without waiting. */
  async pauseBetween(sentMs: number, lastMs: number, stepId: string | undefined): Promise<number> {
    if (this.leftMs() === 0) {
      throw new NotFinishedError(stepId);
    }
    if (performance.now() - sentMs >= WAIT_MIN_MS) {
      return 0;
    }
    const pauseMs = Math.max(WAIT_MIN_MS, spread(Math.min(2 * lastMs, PAUSE_MAX_MS)));
    await pause(Math.min(pauseMs, this.leftMs()), this.signal);
    return pauseMs;
  }
}

/** The members of a start but its payload and its wait, as JSON without the braces. */
function startMembers(workflow: WorkflowReference, options: StartOptions): string {
  const { key, timeout: _, signal: __, ...members } = options;
  const document = {
    workflowName: workflow.workflowName,
    stepInvokeUrl: workflow.url,
    idempotencyKey: key,
    ...members,
    ...stepMembers(options),
  };
  return JSON.stringify(document).slice(1, -1);
}

/** The options of a step as the API takes them, in milliseconds. JSON leaves out what is not given. */
export function stepMembers(options: StepOptions): Record<string, unknown> {
  const { onLost, flow, retry } = options;
  return {
    ...timesOf(options, ["delay", "startAt", "startBy", "deadline", "attemptTimeout"]),
    onLost,
    flow,
    retry:
      typeof retry === "number"
        ? { count: retry }
        : retry && { ...retry, ...timesOf(retry, ["backOff", "maxBackOff"], "retry.") },
  };
}

/** Those of the options that are times: moments as they are, and durations in milliseconds. */
function timesOf<Name extends string>(
  options: { readonly [Each in Name]?: Date | Duration },
  names: readonly Name[],
  where = "",
): Record<string, unknown> {
  const times: Record<string, unknown> = {};
  for (const name of names) {
    const given = options[name];
    times[name] = given === undefined || given instanceof Date ? given : milliseconds(where + name, given);
  }
  return times;
}

/** The members of a request that say which event it is. */
export function eventMembers(event: EventAddress): Record<string, unknown> {
  const { key: idempotencyKey, number = 1, ...of } = event as NamedEvent & { readonly key?: string };
  return { ...of, idempotencyKey, name: number === 1 ? of.name : `${of.name}#${number}` };
}

function idOf({ document }: ApiAnswer): string | undefined {
  return (document as { id?: string } | null | undefined)?.id;
}
