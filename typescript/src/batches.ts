/**
 * Batches: calls side by side under a policy, and their outcomes in order.
 *
 * Items start in their order, as earlier ones end, so a replay starts the same items again. An early end is different:
 * a replay may find that more items have ended than at that time. So an early end is recorded as a value.
 */

import { NAMED_MAX, suspension } from "./answers.ts";
import type { Calls } from "./calls.ts";
import { type CoreContext, here, valuePlan } from "./core_context.ts";
import { RefusedError } from "./errors.ts";
import type { Position } from "./identity.ts";
import { below, cancel, leave, recorded } from "./made.ts";
import { isLive } from "./results.ts";
import type { Scope } from "./scope.ts";
import { within } from "./strands.ts";

/** When a batch starts its items, and when it ends before all of them have ended. */
export interface BatchOptions {
  /** How many items may be unfinished at a time (default: all). */
  readonly concurrency?: number;
  /** End when so many items have succeeded (default: when all have ended). */
  readonly minSuccessful?: number;
  /** End when more items than this have failed; a number, or a share such as `"25%"` (default: never). */
  readonly toleratedFailures?: number | `${number}%`;
  /** The name of the batch for people; that of its steps begins with it. */
  readonly name?: string;
}

/** The outcome of one item of a batch. */
export interface BatchItem<Result> {
  /** Its place among the items, from 0. */
  readonly index: number;
  /** Its name, where the batch was given names. */
  readonly name?: string;
  /** `started`: it had not ended when the batch ended. */
  readonly status: "succeeded" | "failed" | "started" | "not_started";
  readonly result?: Result;
  readonly error?: unknown;
}

/** The outcome of a batch, with its items in their order. */
export class Batch<Result> implements Iterable<BatchItem<Result>> {
  /** `endedBy`: all have ended, enough have succeeded, or more have failed than are tolerated. */
  constructor(
    readonly items: readonly BatchItem<Result>[],
    readonly endedBy: "all_completed" | "min_successful" | "failures_exceeded",
  ) {}

  get succeeded(): BatchItem<Result>[] {
    return this.items.filter(({ status }) => status === "succeeded");
  }

  get failed(): BatchItem<Result>[] {
    return this.items.filter(({ status }) => status === "failed");
  }

  /** The results of the items that have succeeded, in order; throws the error of the first one that has failed. */
  results(): Result[] {
    for (const { error } of this.failed) {
      throw error;
    }
    return this.succeeded.map(({ result }) => result as Result);
  }

  /**
   * The same batch with each item at its index of `indexes`.
   * @internal
   */
  inOrder(indexes: readonly number[]): Batch<Result> {
    const items: BatchItem<Result>[] = [];
    indexes.forEach((index, at) => {
      items[index] = { ...(this.items[at] as BatchItem<Result>), index };
    });
    return new Batch(items, this.endedBy);
  }

  [Symbol.iterator](): Iterator<BatchItem<Result>> {
    return this.items[Symbol.iterator]();
  }
}

/** A batch as its context plans it. */
export interface PlannedBatch<Result> {
  readonly kind: "map" | "parallel" | "race";
  readonly options: BatchOptions;
  /** What each item does, with a context of its own. */
  readonly works: readonly ((scope: Scope) => Promise<Result>)[];
  /** What tells the items apart, in place of their indexes. */
  readonly keys?: readonly string[];
  readonly names?: readonly string[];
  /** Whether each item is one step, so that the handler need not be called for each. */
  readonly isPlain?: boolean;
  /** Whether the steps that have not ended with the batch are cancelled. */
  readonly cancelsRest?: boolean;
}

/** The record of an early end: a letter for each item, and what the unfinished ones called. */
interface Early {
  readonly endedBy: Batch<unknown>["endedBy"];
  readonly items: string;
  readonly left: readonly string[];
}

/**
 * When the handler is called again: when any of its steps has ended, when all have succeeded or one has not, or when
 * all have ended.
 */
type Wake = "any" | "all" | "settled";

const ITEMS_MAX = 100_000;
// An id takes about 70 bytes, and the record is to stay small.
const LEFT_MAX = 1000;
const ENDED = /[SF]/;
const STATUSES = { S: "succeeded", F: "failed", L: "started", N: "not_started" } as const;

/** Run a batch to its end. */
export async function runBatch<Result>(context: CoreContext, batch: PlannedBatch<Result>): Promise<Batch<Result>> {
  const { kind, options, works, names, cancelsRest } = batch;
  const count = works.length;
  const { concurrency = count, minSuccessful = count } = options;
  const tolerated = toleratedOf(options, count);
  check(options, count);
  const outer = here(context);
  const name = options.name ?? "";
  const ticket = outer.take(`${kind} ${name}`, name || kind);
  const scope = below(outer, `${kind}${ticket.position.number}${name && `:${name}`}`);
  const mayEndEarly = tolerated < count || minSuccessful < count;
  const run = new Run(context, batch, scope, { concurrency, minSuccessful, tolerated, mayEndEarly });
  const record = valuePlan(`end of ${name || kind}`);
  const position: Position = { path: scope.path, key: null, number: 1 };
  const { calls } = context;
  const batches = batchesOf(calls);
  batches.add(run);
  let early = mayEndEarly
    ? ((await calls.doing(() => recorded(calls, record, position))) as Early | undefined)
    : undefined;
  if (early !== undefined) {
    run.adopt(early);
  }
  const leftBefore = early?.left ?? [];
  let endedBy = await run.ended();
  if (early === undefined && (endedBy === "failures_exceeded" || minSuccessful < count)) {
    const compute = (): Early => ({ endedBy, items: run.letters.join(""), left: run.leftSteps().slice(0, LEFT_MAX) });
    early = (await calls.perform(outer, () => record, { position, compute })).response as Early;
    run.adopt(early);
    await run.ended();
  }
  endedBy = early?.endedBy ?? endedBy;
  batches.delete(run);
  const left = [...run.leave(), ...leftBefore];
  for (const id of [...left, ...(early?.left ?? [])]) {
    // No replay calls it again, which does not make later code a replay.
    calls.results.used.add(id);
  }
  if (cancelsRest) {
    await calls.doing(async () => {
      for (const id of new Set(left)) {
        const known = calls.results.get(id);
        if (known === undefined || isLive(known)) {
          await cancel(calls, id);
        }
      }
    });
  }
  ticket.settled();
  const items = run.items.map((item, index) => ({
    index,
    ...(names && { name: names[index] as string }),
    ...item,
    status: STATUSES[run.letters[index] as keyof typeof STATUSES],
  }));
  return new Batch(items, endedBy);
}

// The branches that their batch may end without.
const mayBeLeft = new WeakSet<Scope>();

/** Whether a batch, of this branch or of one above, may end without it. */
export function mayEndWithout(scope: Scope): boolean {
  return mayBeLeft.has(scope) || (scope.outer !== undefined && mayEndWithout(scope.outer));
}

const running = new WeakMap<Calls, Set<{ readonly scope: Scope; readonly wake: Wake }>>();

/** The batches that go on. One whose steps are all that is open says when the handler is called again. */
function batchesOf(calls: Calls): Set<{ readonly scope: Scope; readonly wake: Wake }> {
  let batches = running.get(calls);
  if (batches === undefined) {
    batches = new Set();
    running.set(calls, batches);
    const known = batches;
    calls.suspended = () => {
      const ids = [...calls.open];
      const isIn = (scope: Scope): boolean => ids.every((id) => calls.called.get(id)?.isWithin(scope));
      const { wake = "any" } = [...known].find(({ scope }) => isIn(scope)) ?? {};
      if (wake === "any") {
        return suspension(ids);
      }
      // The header has no room for all of them: `*` means all live steps of the handler, if it waits for each of them.
      const named = ids.length > NAMED_MAX && !calls.hasLeft ? ["*", ...ids] : ids;
      return suspension(named, { "atomic-wake": wake });
    };
  }
  return batches;
}

interface Policy {
  readonly concurrency: number;
  readonly minSuccessful: number;
  readonly tolerated: number;
  readonly mayEndEarly: boolean;
}

/** A batch in one attempt of its handler. */
class Run<Result> {
  readonly letters: string[];
  readonly items: { result?: Result; error?: unknown }[];
  readonly #branches: Scope[] = [];
  #next = 0;
  #running = 0;
  #succeeded = 0;
  #failed = 0;
  #missing: Set<number> | undefined;
  #notify: () => void = () => undefined;

  constructor(
    readonly context: CoreContext,
    readonly batch: PlannedBatch<Result>,
    readonly scope: Scope,
    readonly policy: Policy,
  ) {
    this.letters = batch.works.map(() => "N");
    this.items = batch.works.map(() => ({}));
  }

  /** When a handler that waits for this batch alone is called again. */
  get wake(): Wake {
    const { works, isPlain } = this.batch;
    const { minSuccessful, tolerated } = this.policy;
    if (!isPlain || this.#next < works.length || minSuccessful < works.length) {
      return "any";
    }
    return tolerated < works.length ? "all" : "settled";
  }

  /** Take over an end that was recorded: what had ended then counts, and nothing else. */
  adopt({ items }: Early): void {
    const missing = new Set<number>();
    for (const at of this.letters.keys()) {
      const letter = items[at] ?? "N";
      if (!ENDED.test(letter)) {
        this.items[at] = {};
        this.letters[at] = letter;
      } else if (!ENDED.test(this.letters[at] ?? "")) {
        missing.add(at);
      }
    }
    this.#missing = missing;
  }

  /** Start the items, as far as the policy lets them, until the batch has ended. Resolves to why it has. */
  async ended(): Promise<Batch<Result>["endedBy"]> {
    for (;;) {
      const endedBy = this.#endedBy();
      if (endedBy !== undefined) {
        return endedBy;
      }
      this.#start();
      await new Promise<void>((resolve) => {
        this.#notify = resolve;
      });
    }
  }

  /** What the branches called that have not ended, since no replay runs them: first the steps that go on. */
  leftSteps(): string[] {
    const { open, called } = this.context.calls;
    const unfinished = new Set(this.#unfinished());
    const isLeft = (by: Scope | undefined): boolean => by !== undefined && (unfinished.has(by) || isLeft(by.outer));
    const ids = [...called].filter(([, by]) => isLeft(by)).map(([id]) => id);
    return [...ids.filter((id) => open.has(id)), ...ids.filter((id) => !open.has(id))];
  }

  /** End the branches that have not ended. Returns their unfinished steps. */
  leave(): string[] {
    return leave(this.context.calls, this.#unfinished());
  }

  #unfinished(): Scope[] {
    return this.#branches.filter((_, at) => !ENDED.test(this.letters[at] ?? ""));
  }

  #start(): void {
    const { works, keys, names, options } = this.batch;
    const { concurrency, mayEndEarly } = this.policy;
    for (; this.#next < works.length && (this.#missing !== undefined || this.#running < concurrency); this.#next++) {
      const at = this.#next;
      if (this.#missing !== undefined && !this.#missing.has(at)) {
        continue;
      }
      const label = names?.[at] ?? (options.name === undefined ? this.scope.label : `${options.name} ${at}`);
      const part = names === undefined ? (keys?.[at] ?? `${at}`) : `/${names[at]}`;
      const branch = below(this.scope, part, label);
      if (mayEndEarly) {
        mayBeLeft.add(branch);
      }
      this.#branches[at] = branch;
      this.#running++;
      this.letters[at] = "L";
      const work = works[at] as (scope: Scope) => Promise<Result>;
      within(branch, async () => work(branch)).then(
        (result) => this.#end(at, "S", { result }),
        (error: unknown) => this.#end(at, "F", { error }),
      );
    }
  }

  #end(at: number, letter: string, item: { result: Result } | { error: unknown }): void {
    if (this.#branches[at]?.isOver || (this.#missing !== undefined && !this.#missing.delete(at))) {
      return;
    }
    this.#running--;
    this.#succeeded += letter === "S" ? 1 : 0;
    this.#failed += letter === "F" ? 1 : 0;
    this.letters[at] = letter;
    this.items[at] = item;
    this.#notify();
  }

  #endedBy(): Batch<Result>["endedBy"] | undefined {
    if (this.#missing !== undefined) {
      return this.#missing.size === 0 ? "all_completed" : undefined;
    }
    if (this.#failed > this.policy.tolerated) {
      return "failures_exceeded";
    }
    if (this.#failed + this.#succeeded === this.letters.length) {
      return "all_completed";
    }
    return this.#succeeded >= this.policy.minSuccessful ? "min_successful" : undefined;
  }
}

function toleratedOf({ toleratedFailures: given }: BatchOptions, count: number): number {
  if (typeof given !== "string") {
    return given ?? count;
  }
  const share = /^(\d{1,3})%$/.exec(given)?.[1];
  if (share === undefined || Number(share) > 100) {
    throw refused(`toleratedFailures: use a number of items, or a share from "0%" to "100%", not ${given}.`);
  }
  return Math.floor((count * Number(share)) / 100);
}

function check(options: BatchOptions, count: number): void {
  for (const [name, least] of [
    ["concurrency", 1],
    ["minSuccessful", 1],
    ["toleratedFailures", 0],
  ] as const) {
    const number = options[name];
    if (typeof number === "number" && !(Number.isInteger(number) && number >= least)) {
      throw refused(`${name}: use a whole number from ${least} on, not ${number}.`);
    }
  }
  if (count > ITEMS_MAX) {
    throw refused(`items: a batch has ${ITEMS_MAX} at most; make several batches.`);
  }
  if (options.minSuccessful !== undefined && options.minSuccessful > count) {
    throw refused(`minSuccessful: ${options.minSuccessful} of ${count} items can never succeed; use fewer.`);
  }
}

/** A call that the API would refuse. */
export function refused(detail: string): RefusedError {
  return new RefusedError("invalid-request", detail, 400);
}
