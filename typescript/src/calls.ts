/**
 * The calls of a handler: each is made once, its outcome is the same in every replay, and the handler is suspended
 * when nothing but unfinished calls is left of it.
 *
 * A call whose step is unfinished never settles. Nothing is thrown for that, so `try`, `catch` and
 * `Promise.allSettled` of a workflow are untouched. In a replay, outcomes arrive in the order in which the steps ended,
 * so that `Promise.race` and the like act in the same way again.
 */

import { suspension } from "./answers.ts";
import type { Call } from "./call.ts";
import { canonicalJson } from "./canonical.ts";
import { AtomicError, CancelledError, endOf, isOutcome, NotFinishedError } from "./errors.ts";
import type { ApiAnswer, Connection } from "./http.ts";
import { type Position, sha256, stepId, stepKey } from "./identity.ts";
import { isLive, type Known, Results } from "./results.ts";
import { Scope, type Ticket } from "./scope.ts";

/** What a call posts, but for its key, its parent and its run. */
export interface Planned {
  /** The step for people. */
  readonly what: string;
  /** Its URL; for a step without one, its kind. */
  readonly called: string;
  readonly document: Readonly<Record<string, unknown>>;
  /** Canonical JSON. */
  readonly payload?: string;
  /** In place of the key that is made of the position. */
  readonly idempotencyKey?: string;
  /** What else follows from where the call is made, and from the key that it has for that. */
  readonly completed?: (position: Position, key: string) => Partial<Planned> | Promise<Partial<Planned>>;
}

/** A call with its identity. */
export interface Made extends Planned {
  readonly id: string;
  readonly idempotencyKey: string;
}

/** What logs: `console`, or what an application has in its place. */
export interface Logger {
  debug(message: string, fields: Readonly<Record<string, unknown>>): void;
  info(message: string, fields: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
  error(message: string, fields: Readonly<Record<string, unknown>>): void;
}

/** How a call is made. */
export interface Manner {
  /** Tells this call apart from others of its step. */
  readonly key?: string | undefined;
  /** Where the call is made, if it was numbered before. */
  readonly position?: Position | undefined;
  /** Computes the payload of a value, unless it is known. */
  readonly compute?: (() => unknown) | undefined;
  /** Whether a live step is posted again, since the post may change it. */
  readonly changesLive?: boolean;
}

/** How the handler ended: with a result, or suspended, for a cause if it does not only wait for steps. */
export type End<Output> = { readonly result: Output } | { readonly cause: unknown };

/** The outcome of a step. */
export interface Answer {
  /** When the step ended; empty if that is not known. */
  readonly endedAt: string;
  readonly response: unknown;
}

// Shorter than any wait that is noticed: the server notes that the handler waits, and answers at once.
const LOOK_MS = 1;
// A handler whose posts are refused for so long is called again later.
const REFUSED_MS = 2000;
// Posts at a time. When more calls are made, each waits only briefly for its step, since others are to be posted.
const POSTS_MAX = 64;
const BRIEF_MS = 50;

/** All calls of one attempt of a handler. */
export class Calls {
  readonly root: Scope = new Scope();
  readonly results: Results;
  /** The answer of a handler that waits for its open steps. */
  suspended: () => Response = () => suspension([...this.open]);
  /** The steps that were called, with the branches that called them; and those that have no outcome yet. */
  readonly called: Map<string, Scope> = new Map();
  readonly open: Set<string> = new Set();
  /** Whether there may be live steps that the handler does not wait for. */
  hasLeft = false;
  readonly headers: Readonly<Record<string, string>>;
  readonly #untilMs: number;
  /** Calls that may be about to get an outcome of before: they go first. */
  #asking = 0;
  /** Calls that wait for something new. */
  #posting = 0;
  #posts = 0;
  readonly #queue: (() => void)[] = [];
  readonly #answers: { endedAt: string; at: number; deliver: () => void }[] = [];
  #answered = 0;
  #isUnsorted = false;
  #isLooking = false;
  /** Whether the handler has ended or is suspended. */
  isOver = false;
  #end: (end: { cause: unknown }) => void = () => undefined;

  /** `waitMs`: how long this call of the handler waits for its steps. */
  constructor(
    readonly call: Call,
    readonly connection: Connection,
    waitMs: number,
    readonly sink: Logger = console,
  ) {
    const sent = ["atomic-attempt-token", "traceparent"].map((name) => [name, call.headers.get(name)]);
    this.headers = Object.fromEntries(sent.filter(([, value]) => value));
    this.results = new Results(call, connection, this.headers);
    this.#untilMs = performance.now() + waitMs;
  }

  /** Run the handler until it ends, or until only steps can let it go on. */
  async settle<Output>(handler: () => Promise<Output>): Promise<End<Output>> {
    await this.results.read();
    const hung = new Promise<{ cause: unknown }>((resolve) => {
      this.#end = resolve;
    });
    const ended = handler().then((result) => ({ result }));
    try {
      return await Promise.race([ended, hung]);
    } finally {
      this.isOver = true;
    }
  }

  /** End the handler for a cause; its code may go on, but calls nothing any more. */
  suspend(cause?: unknown): void {
    this.#end({ cause });
    this.isOver = true;
  }

  /** Make a call and wait for its outcome. It is numbered now, and not when earlier answers have come. */
  perform(scope: Scope, plan: () => Planned, manner: Manner = {}): Promise<Answer> {
    return this.numbered(scope, plan, manner, (made) => this.#outcome(scope, made, manner));
  }

  /** A planned step with its identity. */
  async make(planned: Planned, position: Position): Promise<Made> {
    const { runId, stepId: parent, workflowName, idempotencyKey: runKey } = this.call;
    const own = planned.idempotencyKey ?? (await stepKey(runKey, position));
    const whole = { ...planned, idempotencyKey: own, ...(await planned.completed?.(position, own)) };
    const { called, document, idempotencyKey } = whole;
    const stepName = (document.stepName as string | undefined) ?? "";
    const { clientId } = this.connection;
    const id = await stepId(runId, { clientId, workflowName, parent, called, stepName, idempotencyKey });
    return { ...whole, id };
  }

  /** Do something for the handler that is no call. */
  async doing<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#asking++;
    try {
      return await work();
    } catch (error) {
      if (this.#stops(error)) {
        return never();
      }
      throw error;
    } finally {
      this.#asking--;
      this.#look();
    }
  }

  /** Give a call its position, and ask for its outcome by `ask`; undefined while there is none. */
  numbered(
    scope: Scope,
    plan: () => Planned,
    { key, position }: Manner,
    ask: (made: Made) => Promise<Answer | undefined>,
  ): Promise<Answer> {
    try {
      const planned = plan();
      const { called, document, what } = planned;
      const ticket =
        position === undefined
          ? scope.take(`${called} ${document.stepName ?? ""}`, what, key)
          : { position, settled: () => undefined };
      if (this.isOver || scope.isOver) {
        return never();
      }
      return this.#settled(scope, planned, ticket, ask);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #settled(
    scope: Scope,
    planned: Planned,
    ticket: Ticket,
    ask: (made: Made) => Promise<Answer | undefined>,
  ): Promise<Answer> {
    this.#asking++;
    let outcome: Answer | { endedAt: string; error: unknown } | undefined;
    let id = "";
    try {
      const made = await this.make(planned, ticket.position);
      id = made.id;
      this.called.set(id, scope);
      outcome = await ask(made);
    } catch (error) {
      outcome = this.#stops(error) ? undefined : { endedAt: endOf(error), error };
    }
    if (outcome !== undefined) {
      this.open.delete(id);
    }
    this.#asking--;
    this.#look();
    if (outcome === undefined) {
      return never();
    }
    const { endedAt } = outcome;
    await new Promise<void>((deliver) => {
      this.#answers.push({ endedAt, at: this.#answered++, deliver });
      this.#isUnsorted = true;
    });
    ticket.settled();
    if (this.isOver || scope.isOver) {
      return never();
    }
    if (!("error" in outcome)) {
      return outcome;
    }
    const { error } = outcome;
    if (this.call.isCancelled && error instanceof CancelledError && error.code !== "step-cancelled") {
      scope.tell();
      throw new CancelledError("run-cancelled", error.message);
    }
    throw error;
  }

  /** The outcome of a step; undefined while it is unfinished. */
  async #outcome(scope: Scope, made: Made, { compute, changesLive }: Manner): Promise<Answer | undefined> {
    let known = this.results.get(made.id);
    if (compute !== undefined && known === undefined && this.call.attempt > 1) {
      known = await this.results.find(made.id);
    }
    if (known && (compute || (await isSame(known, made)))) {
      if (isLive(known) && !changesLive) {
        this.open.add(made.id);
        return undefined;
      }
      if (known.status === "succeeded") {
        return { endedAt: known.finishedAt ?? "", response: known.response };
      }
    }
    await this.tellIfCancelled(scope, made);
    if (compute === undefined) {
      this.open.add(made.id);
    }
    const sent = async (): Promise<Answer | undefined> => {
      const value = compute === undefined ? made.payload : canonicalJson((await compute()) ?? null, made.what);
      return this.#sent(made, value, compute === undefined);
    };
    // The outcome of a step that ended before this attempt comes before all that is new.
    return known === undefined || isLive(known) ? this.#meanwhile(sent) : sent();
  }

  async #sent(made: Made, payload: string | undefined, waits: boolean): Promise<Answer | undefined> {
    const leftMs = Math.round(this.#untilMs - performance.now());
    const isCrowded = this.#asking + this.#posting > POSTS_MAX;
    const waitMs = waits ? Math.max(LOOK_MS, isCrowded ? Math.min(BRIEF_MS, leftMs) : leftMs) : 0;
    const answer = await this.post(made, payload, {}, waitMs);
    if (answer.status === 200) {
      const { response, finishedAt } = answer.document as { response: unknown; finishedAt: string };
      return { endedAt: finishedAt, response };
    }
    const error = this.connection.errorOf(answer);
    // A gateway's own 504 names no step: the server may never have got the post.
    if (error instanceof NotFinishedError && error.stepId !== undefined) {
      return undefined;
    }
    throw error;
  }

  /** Send a step to the server. */
  async post(
    made: Made,
    payload: string | undefined,
    headers: Readonly<Record<string, string>>,
    waitMs = 0,
  ): Promise<ApiAnswer> {
    const { workflowName, stepId: parent } = this.call;
    const { idempotencyKey, document } = made;
    const members = JSON.stringify({ workflowName, idempotencyKey, parent, ...document }).slice(1, -1);
    const wait = waitMs === 0 ? "" : `,"timeout":${waitMs}`;
    if (this.#posts === POSTS_MAX) {
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    } else {
      this.#posts++;
    }
    try {
      return await this.connection.exchange({
        method: "POST",
        path: this.#stepsPath(),
        body: `{${members}${wait}${payload === undefined ? "" : `,"payload":${payload}`}}`,
        headers: { ...this.headers, ...headers },
        waitMs,
        patienceMs: REFUSED_MS,
      });
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) {
        this.#posts--;
      } else {
        next();
      }
    }
  }

  /** Any caller can write the header with the URL of steps, and each post has the API key: it must be our server. */
  #stepsPath(): string {
    const own = this.connection.path("steps");
    const stepsUrl = this.call.headers.get("atomic-steps-url") ?? "";
    return stepsUrl.startsWith(`${this.connection.url}/`) && stepsUrl.endsWith(own) && !stepsUrl.includes("?")
      ? stepsUrl.slice(this.connection.url.length)
      : own;
  }

  /** In a run that is cancelled, the first call of each branch that no earlier attempt has posted rejects. */
  async tellIfCancelled(scope: Scope, made: Made): Promise<void> {
    if (this.call.isCancelled && !scope.isTold && !(await this.results.mayHave(made.id))) {
      throw new CancelledError("run-cancelled", `'${made.what}' is not called: the run is cancelled.`);
    }
  }

  /** Whether the handler ends at an error, since it is no outcome of a call: the server's, or the network's. */
  #stops(error: unknown): boolean {
    const stops = error instanceof AtomicError && !isOutcome(error);
    if (stops) {
      this.suspend(error);
    }
    return stops;
  }

  async #meanwhile<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#asking--;
    this.#posting++;
    this.#look();
    try {
      return await work();
    } finally {
      this.#asking++;
      this.#posting--;
    }
  }

  /** Look, after all that can go on has gone on, for the next answer to deliver, or whether nothing is left. */
  #look(): void {
    if (this.#isLooking) {
      return;
    }
    this.#isLooking = true;
    afterwards(() => {
      this.#isLooking = false;
      if (this.isOver || this.#asking > 0) {
        return;
      }
      if (this.#isUnsorted) {
        // The first one is the last, since that is quick to take.
        this.#answers.sort((one, other) =>
          one.endedAt === other.endedAt ? other.at - one.at : one.endedAt < other.endedAt ? 1 : -1,
        );
        this.#isUnsorted = false;
      }
      const first = this.#answers.pop();
      if (first !== undefined) {
        first.deliver();
        this.#look();
      } else if (this.#posting === 0 && this.open.size > 0) {
        this.suspend();
      }
    });
  }
}

/** Do something when all that can go on has gone on. */
function afterwards(work: () => void): void {
  const { setImmediate = setTimeout } = globalThis as { setImmediate?: (work: () => void) => unknown };
  setImmediate(work);
}

/** What a call gives that has no outcome. */
export function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** Whether a step that an earlier attempt posted is the same as this one. */
export async function isSame(known: Known, { payload = "null" }: Planned): Promise<boolean> {
  return known.fingerprint === (await sha256(payload));
}
