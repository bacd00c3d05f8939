/**
 * What a workflow calls: steps, values, sleeps and events, each with an identity that is the same in every replay.
 *
 * A call whose step is unfinished never settles: the handler is answered as suspended, and called again when the step
 * has ended. Nothing is thrown for that, so `try`, `catch` and `Promise.allSettled` of a workflow are untouched.
 */

import { isTransient } from "./answers.ts";
import type { Call } from "./call.ts";
import { canonicalJson } from "./canonical.ts";
import { type StepOptions, stepMembers } from "./client.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { AtomicError, CancelledError, NotFinishedError, RefusedError, StepFailedError } from "./errors.ts";
import type { ApiAnswer, Connection } from "./http.ts";
import { sha256, stepId, stepKey } from "./identity.ts";

/** What JSON makes of a type: a `Date` becomes a string, functions disappear. */
export type Jsonify<Value> = Value extends { toJSON(): infer Written }
  ? Jsonify<Written>
  : Value extends string | number | boolean | null | bigint
    ? Value
    : Value extends undefined | undefined
      ? null
      : Value extends readonly unknown[]
        ? { [Index in keyof Value]: Jsonify<Value[Index]> }
        : Value extends object
          ? {
              [Name in keyof Value as Value[Name] extends (...given: never[]) => unknown ? never : Name]: Jsonify<
                Value[Name]
              >;
            }
          : unknown;

/** A function that is served as a step or a workflow; its name is the end of its URL. */
export interface Served<Input = never, Output = unknown> {
  readonly name: string;
  /** Only for types; it has no value. */
  readonly types?: { readonly input: (input: Input) => void; readonly output: Output };
}

/** Options of a step that a workflow calls. */
export interface CallOptions extends StepOptions {
  /**
   * Tells calls of one step apart whose order may differ between replays. Without it, they are numbered in the order in
   * which they are made.
   */
  readonly key?: string;
  /** The name of the step for people. Calls of one URL with different names are different steps. */
  readonly name?: string;
}

/** How long an event is waited for. */
export interface EventOptions<Default> {
  /** After this time without a result, the call gives `default`, or rejects with `event-expired`. */
  readonly deadline?: Duration;
  readonly default?: Default;
}

/** Two calls of one step from branches that run side by side: their order may differ between replays. */
export class AmbiguousStepError extends Error {
  /** The stable name of this error. */
  readonly code = "ambiguous-step" as const;
  override readonly name = "AmbiguousStepError";
}

interface Known {
  readonly status: string;
  readonly fingerprint: string;
  readonly response: unknown;
}

interface Planned {
  readonly what: string;
  readonly called: string;
  readonly document: Record<string, unknown>;
  readonly payload?: string;
  readonly key?: string | undefined;
}

// Shorter than any wait that is noticed: the server notes that the handler waits, and answers at once.
const LOOK_MS = 1;
// The handler does not wait longer for its results. Without them it posts its steps again.
const RESULTS_PATIENCE_MS = 1000;
// A handler whose posts are refused for so long is called again later.
const REFUSED_MS = 2000;
const LIVE: ReadonlySet<string> = new Set(["pending", "running", "retrying", "waiting"]);

/** A workflow's view of its run. */
export class Context {
  readonly runId: string;
  readonly stepId: string;
  readonly workflowName: string;
  readonly idempotencyKey: string;
  readonly attempt: number;
  /** The ids of the steps that were called and are unfinished. */
  readonly #parked = new Set<string>();
  readonly #counts = new Map<string, number>();
  /** The unresolved calls of each step, and the turn in which the last one was made. */
  readonly #unresolved = new Map<string, { turn: object; count: number }>();
  readonly #call: Call;
  readonly #connection: Connection;
  readonly #untilMs: number;
  #known: Promise<Map<string, Known>> | undefined;
  #turn: object | undefined;
  #active = 0;
  #isOver = false;
  #suspend: (cause?: unknown) => void = () => undefined;

  /** `waitMs`: how long this call of the handler waits for its steps. */
  constructor(call: Call, connection: Connection, waitMs: number) {
    const { runId, stepId, workflowName, idempotencyKey, attempt } = call;
    this.runId = runId;
    this.stepId = stepId;
    this.workflowName = workflowName;
    this.idempotencyKey = idempotencyKey;
    this.attempt = attempt;
    this.#call = call;
    this.#connection = connection;
    this.#untilMs = performance.now() + waitMs;
  }

  /** Call a step that is served beside this workflow, or any URL, and wait for its result. */
  step<Input, Output>(step: Served<Input, Output>, payload: Input, options?: CallOptions): Promise<Jsonify<Output>>;
  step(step: string, payload?: unknown, options?: CallOptions): Promise<unknown>;
  step(step: Served | string, payload: unknown = null, options: CallOptions = {}): Promise<unknown> {
    const { key, name, ...rest } = options;
    const url = new URL(typeof step === "string" ? step : step.name, this.#call.url).href;
    const what = `the payload of step '${typeof step === "string" ? step : step.name}'`;
    return this.#post(() => ({
      what: name ?? url,
      called: url,
      document: { stepInvokeUrl: url, ...(name === undefined ? {} : { stepName: name }), ...stepMembers(rest) },
      payload: canonicalJson(payload, what),
      key,
    }));
  }

  /** Compute a value once and keep it: later attempts of the workflow get the same one. It runs in the workflow. */
  run<Value>(name: string, compute: () => Value | Promise<Value>): Promise<Jsonify<Value>> {
    const planned = { what: name, called: "value", document: { kind: "value", stepName: name } };
    return this.#post(() => planned, compute) as Promise<Jsonify<Value>>;
  }

  /** Wait; for days, if need be: the workflow is suspended meanwhile. */
  async sleep(duration: Duration, name = "sleep"): Promise<void> {
    await this.#post(() => ({
      what: name,
      called: "timer",
      document: { kind: "timer", stepName: name, delay: milliseconds("sleep", duration) },
    }));
  }

  /** Wait for somebody to give the event of this name its result. The second call of a name waits for the second event. */
  async event<Result = unknown, Default = never>(
    name: string,
    options: EventOptions<Default> = {},
  ): Promise<Result | Default> {
    const deadline = options.deadline === undefined ? {} : { deadline: milliseconds("deadline", options.deadline) };
    try {
      return (await this.#post(() => ({
        what: name,
        called: "event",
        document: { kind: "event", stepName: name, ...deadline },
      }))) as Result;
    } catch (error) {
      if (error instanceof StepFailedError && error.code === "event-expired" && "default" in options) {
        return options.default as Default;
      }
      throw error;
    }
  }

  /** The time, the same in every attempt. */
  async now(): Promise<Date> {
    return new Date((await this.run("now", () => Date.now())) as number);
  }

  /** A UUID, the same in every attempt. */
  uuid(): Promise<string> {
    return this.run("uuid", () => crypto.randomUUID());
  }

  /** A number from 0 to 1, the same in every attempt. */
  random(): Promise<number> {
    return this.run("random", () => Math.random());
  }

  /**
   * Run the handler until it ends or waits for steps alone. Resolves to its result, or to the ids that it waits for.
   * @internal
   */
  async settle<Output>(
    handler: () => Promise<Output>,
  ): Promise<{ result: Output } | { waitingFor: string[]; cause: unknown }> {
    const hang = new Promise<{ waitingFor: string[]; cause: unknown }>((resolve) => {
      this.#suspend = (cause) => {
        this.#isOver = true;
        resolve({ waitingFor: [...this.#parked], cause });
      };
    });
    const ended = handler().then((result) => ({ result }));
    try {
      return await Promise.race([ended, hang]);
    } finally {
      this.#isOver = true;
    }
  }

  #post(plan: () => Planned, compute?: () => unknown): Promise<unknown> {
    // Numbered now, in the order of the calls, and not when earlier answers have come.
    let planned: Planned;
    let number: number;
    try {
      planned = plan();
      number = this.#number(planned);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#isOver ? new Promise(() => undefined) : this.#settled(planned, number, compute);
  }

  #number(planned: Planned): number {
    const name = nameOf(planned);
    const turn = this.#currentTurn();
    const others = this.#unresolved.get(name);
    if (others !== undefined && others.turn !== turn) {
      throw new AmbiguousStepError(
        `'${planned.what}' is called side by side from several branches, in an order that may change: give each call a key.`,
      );
    }
    this.#unresolved.set(name, { turn, count: (others?.count ?? 0) + 1 });
    const number = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, number);
    return number;
  }

  #resolved(planned: Planned): void {
    const name = nameOf(planned);
    const others = this.#unresolved.get(name);
    if (others !== undefined && --others.count === 0) {
      this.#unresolved.delete(name);
    }
  }

  /** The calls that are made without anything in between have one turn. */
  #currentTurn(): object {
    if (this.#turn === undefined) {
      this.#turn = {};
      queueMicrotask(() => {
        this.#turn = undefined;
      });
    }
    return this.#turn;
  }

  async #settled(planned: Planned, number: number, compute: (() => unknown) | undefined): Promise<unknown> {
    this.#active++;
    let outcome: Outcome;
    try {
      outcome = await this.#outcome(planned, number, compute);
    } catch (error) {
      if (error instanceof AtomicError && !isOutcome(error)) {
        this.#suspend(error);
        return new Promise(() => undefined);
      }
      outcome = { error };
    } finally {
      this.#active--;
      // Also after an outcome: the handler may have nothing left to do but to wait for other steps.
      this.#hangSoon();
    }
    if (outcome === undefined) {
      return new Promise(() => undefined);
    }
    this.#resolved(planned);
    if (this.#isOver) {
      return new Promise(() => undefined);
    }
    if ("error" in outcome) {
      throw outcome.error;
    }
    return outcome.response;
  }

  /** The outcome of a step; undefined while it is unfinished. */
  async #outcome(planned: Planned, number: number, compute: (() => unknown) | undefined): Promise<Outcome> {
    const { clientId } = this.#connection;
    const key = await stepKey(this.idempotencyKey, { path: [], key: planned.key ?? null, number });
    const stepName = (planned.document.stepName as string | undefined) ?? "";
    const { workflowName, stepId: parent } = this;
    const id = await stepId(this.runId, {
      clientId,
      workflowName,
      parent,
      called: planned.called,
      stepName,
      idempotencyKey: key,
    });
    const known = (await this.#results()).get(id);
    const isValue = compute !== undefined;
    if (known !== undefined && (isValue || known.fingerprint === (await sha256(planned.payload ?? "null")))) {
      if (LIVE.has(known.status)) {
        this.#parked.add(id);
        return undefined;
      }
      if (known.status === "succeeded") {
        return { response: known.response };
      }
    }
    const payload = isValue ? canonicalJson((await compute()) ?? null, `the value '${planned.what}'`) : planned.payload;
    const members = JSON.stringify({ workflowName, idempotencyKey: key, parent, ...planned.document }).slice(1, -1);
    return this.#sent(id, members, payload, isValue);
  }

  async #sent(id: string, members: string, payload: string | undefined, isValue: boolean): Promise<Outcome> {
    const waitMs = Math.max(LOOK_MS, Math.round(this.#untilMs - performance.now()));
    const wait = isValue ? "" : `,"timeout":${waitMs}`;
    const answer = await this.#connection.exchange({
      method: "POST",
      path: this.#stepsPath(),
      body: `{${members}${wait}${payload === undefined ? "" : `,"payload":${payload}`}}`,
      headers: this.#headers(),
      waitMs,
      patienceMs: REFUSED_MS,
    });
    if (answer.status === 200) {
      return { response: (answer.document as { response: unknown }).response };
    }
    const error = this.#connection.errorOf(answer);
    // A gateway's own 504 names no step: the server may never have got the post.
    if (error instanceof NotFinishedError && error.stepId !== undefined) {
      this.#parked.add(id);
      return undefined;
    }
    throw error;
  }

  #headers(): Record<string, string> {
    const { attemptToken, traceparent } = this.#call;
    const given = { "atomic-attempt-token": attemptToken, traceparent };
    return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ""));
  }

  /** Any caller can write the header with the URL of steps, and each post has the API key: it must be our server. */
  #stepsPath(): string {
    const own = this.#connection.path("steps");
    const { stepsUrl } = this.#call;
    return stepsUrl.startsWith(`${this.#connection.url}/`) && stepsUrl.endsWith(own) && !stepsUrl.includes("?")
      ? stepsUrl.slice(this.#connection.url.length)
      : own;
  }

  /** What earlier attempts posted. A result that is missing or malformed costs a post, and changes no outcome. */
  #results(): Promise<Map<string, Known>> {
    this.#known ??= this.attempt > 1 && this.#call.attemptToken !== "" ? this.#read() : Promise.resolve(new Map());
    return this.#known;
  }

  async #read(): Promise<Map<string, Known>> {
    const known = new Map<string, Known>();
    const path = `${this.#connection.path("runs", this.runId, "results")}?parent=${encodeURIComponent(this.stepId)}`;
    for (let after: string | null = ""; after !== null; ) {
      const query: string = after === "" ? "" : `&after=${encodeURIComponent(after)}`;
      let page: ApiAnswer;
      try {
        page = await this.#connection.exchange({
          method: "GET",
          path: path + query,
          headers: this.#headers(),
          patienceMs: RESULTS_PATIENCE_MS,
        });
      } catch (error) {
        if (isTransient(error)) {
          break;
        }
        throw error;
      }
      const document = page.document as { steps?: (Known & { id: string })[]; next?: string | null } | undefined;
      if (page.status !== 200 || !Array.isArray(document?.steps)) {
        break;
      }
      for (const step of document.steps) {
        known.set(step.id, step);
      }
      // A cursor that does not advance would make this loop endless.
      after = typeof document.next === "string" && document.next > after ? document.next : null;
    }
    return known;
  }

  /** Suspend the handler when nothing but unfinished steps is left of its calls. */
  #hangSoon(): void {
    setTimeout(() => {
      if (this.#active === 0 && this.#parked.size > 0 && !this.#isOver) {
        this.#suspend();
      }
    }, 0);
  }
}

type Outcome = { readonly response: unknown } | { readonly error: unknown } | undefined;

/** What calls are numbered by. */
function nameOf({ called, document, key }: Planned): string {
  return `${called} ${document.stepName ?? ""} ${key ?? ""}`;
}

/** Errors that are the outcome of a step, so that handlers may catch them. Others come from the server or the network. */
function isOutcome(error: AtomicError): boolean {
  return (
    error instanceof StepFailedError ||
    error instanceof CancelledError ||
    (error instanceof RefusedError &&
      ["invalid-request", "too-large", "url-not-allowed", "too-deep"].includes(error.code)) ||
    error.code === "not-serializable"
  );
}
