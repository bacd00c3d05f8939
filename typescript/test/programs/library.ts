/** What the random programs call: steps with effects, and readers of failures. */

import { NonRetryable, RetryAfter, StepFailedError } from "../../src/index.ts";

/** What a step did. */
export interface Effect {
  readonly step: string;
  /** The strand that called it, in which effects have an order; empty if they have none. */
  readonly at: string;
  readonly shown: string;
  readonly stepId: string;
}

/** The effects of one program, once for each step and key, as an endpoint that is idempotent makes them. */
export class Ledger {
  readonly effects: Effect[] = [];
  readonly #answers = new Map<string, unknown>();

  once(step: string, call: StepCall, { at, n }: Given, effect: () => unknown): unknown {
    const key = `${step} ${call.idempotencyKey}`;
    if (!this.#answers.has(key)) {
      this.#answers.set(key, effect());
      const shown = step === "hide" ? "hidden" : spelled(n);
      this.effects.push({ step, at, shown: `${step}(${shown})`, stepId: call.stepId });
    }
    return this.#answers.get(key);
  }
}

/** The payload of most steps. */
export interface Given {
  readonly at: string;
  readonly n: number;
}

/** What a step is told of its call. */
export interface StepCall {
  readonly attempt: number;
  readonly idempotencyKey: string;
  readonly stepId: string;
}

type Step = (ledger: Ledger, given: Given, call: StepCall) => unknown;

/** A step that computes with its number. */
function computing(name: string, compute: (n: number, given: Given) => unknown): Step {
  return (ledger, given, call) => ledger.once(name, call, given, () => compute(given.n, given));
}

/** Concurrent with a failing step it may be called or not, so its effects are not compared. */
export const UNSURE = "maybe";

/** The steps, by their names. */
export const STEPS: Readonly<Record<string, Step>> = {
  note: computing("note", (n) => n),
  add: computing("add", (n) => n + 1),
  double: computing("double", (n) => 2 * n),
  /** All that JSON changes: it must arrive in the same way in a replay. */
  echo: computing("echo", (_, given) => ({
    ...given,
    when: new Date(86_400_000),
    none: undefined,
    é: ["\u{1f600}", null],
  })),
  /** Its payload is chance: a replay that sends another one is refused. */
  hide: computing("hide", () => "hidden"),
  [UNSURE]: computing(UNSURE, (n) => n),
  book: computing("book", (n) => n),
  unbook: computing("unbook", () => "undone"),
  odd: (ledger, given, call) => {
    if (given.n % 2 === 0) {
      throw new NonRetryable(`boom-${given.n}`);
    }
    return ledger.once("odd", call, given, () => given.n);
  },
  /** Fails for each number, and may be called again. */
  broken: (_, { n }) => {
    throw new TypeError(`boom-${n}`);
  },
  /** Succeeds at its third attempt. */
  shaky: (ledger, given, call) => {
    if (call.attempt === 1) {
      throw new RetryAfter(1, "busy");
    }
    if (call.attempt === 2) {
      throw new Error("away");
    }
    return ledger.once("shaky", call, given, () => given.n + 3);
  },
  /** The check of a condition, which is met at the third call. */
  count: (ledger, seen, call) => {
    const given = { at: "", n: seen as unknown as number };
    return ledger.once("count", call, given, () => [given.n >= 2, given.n + 1]);
  },
};

/** The root cause of a failure, the same in one process and across any number of steps. */
export function reason(error: unknown): string {
  if (error instanceof AggregateError) {
    return error.errors.map(reason).sort().join(", ");
  }
  const { name, message, code } = error as { name: string; message: string; code?: string };
  const told = error instanceof StepFailedError ? JSON.stringify(error.failure) : "";
  return `${told} ${message}`.match(/boom-\d+/g)?.at(-1) ?? `${name} ${code ?? message}`;
}

/** An outcome of `allSettled`, or of an item of a batch. */
export function settled(outcome: {
  status: string;
  value?: unknown;
  result?: unknown;
  reason?: unknown;
  error?: unknown;
}): unknown {
  const error = outcome.reason ?? outcome.error;
  return error === undefined ? (outcome.value ?? outcome.result) : `failed: ${reason(error)}`;
}

/** A value as JSON, its members in order. */
export function spelled(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
      : inner,
  );
}

/** Names that a program uses beside those of its functions and steps. */
export const NAMES: Readonly<Record<string, unknown>> = { reason, settled, NonRetryable, RetryAfter, StepFailedError };
