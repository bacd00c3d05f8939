/** Runs a program without Atomic: steps are functions, nothing is replayed, and time does not matter. */

import { ConditionNotMetError, NonRetryable, StepFailedError, type StepFailure } from "../../src/index.ts";
import { compiled, type Workflow } from "./compiled.ts";
import { ENTRY, type Program } from "./language.ts";
import { type Effect, type Given, Ledger, reason, STEPS, type StepCall } from "./library.ts";
import { endOf, type Outcome, outcome, type Wait } from "./outcome.ts";

// A program whose loops call workflows that call workflows would take too long through Atomic.
const CALLS_MAX = 60;

/** The program says nothing: it is too large, or shrinking has left something out that it needs. */
export class UnsuitableError extends Error {}

/** The outcome, and the names of the events that the first handler asks for. */
export interface Plain extends Outcome {
  readonly asked: ReadonlySet<string>;
}

/** The outcome of the program. Throws UnsuitableError. */
export async function runPlainly(program: Program): Promise<Plain> {
  const world = new World(program);
  const end = await endOf(world.start(program.payload));
  // A run that was started goes on, also when nothing waits for it.
  for (let number = 0; number < world.started.length; number++) {
    await world.started[number];
  }
  if (world.calls > CALLS_MAX || world.isBroken) {
    throw new UnsuitableError();
  }
  const handlerOf = ({ stepId }: Effect): string => stepId.split("/")[0] ?? "";
  const versions = [...world.versions].map((each) => ({ kind: "value", name: `version ${each.split(" ")[1]}` }));
  return { ...outcome(end, world.ledger.effects, [...world.waits, ...versions], handlerOf), asked: world.asked };
}

class World {
  readonly ledger = new Ledger();
  readonly waits: Wait[] = [];
  /** All calls of one name have one version in a handler. */
  readonly versions = new Set<string>();
  readonly asked = new Set<string>();
  readonly started: Promise<unknown>[] = [];
  isBroken = false;
  calls = 0;
  handlers = 0;
  readonly #workflows: Map<string, Workflow>;

  constructor(program: Program) {
    const names = [...Object.keys(STEPS), ...Object.keys(program.functions)];
    this.#workflows = compiled(program, Object.fromEntries(names.map((name) => [name, { name }])));
  }

  /** The run that a client starts. */
  start(payload: number): Promise<unknown> {
    return this.outcome("step-failed", () => this.run(ENTRY, payload));
  }

  /** What a caller gets of a call, also if it fails. */
  async outcome(code: string, call: () => Promise<unknown>): Promise<unknown> {
    try {
      return await call();
    } catch (error) {
      const why = /boom-\d+/.exec(reason(error))?.[0] ?? "";
      this.isBroken ||= error instanceof ReferenceError || (error instanceof TypeError && why === "");
      throw failed(code, why);
    }
  }

  /** A run of a workflow, and of those as which it goes on. */
  async run(name: string, payload: number): Promise<unknown> {
    for (let given = payload; ; ) {
      const context = new PlainContext(this, `${this.handlers++}`, "run-root");
      const ended = this.#workflow(name)(context, given).then((result) => ({ result }));
      const next = await Promise.race([ended, context.next]);
      if ("result" in next) {
        return json(next.result);
      }
      given = next.payload;
    }
  }

  async call(handler: string, name: string, payload: unknown): Promise<unknown> {
    const step = STEPS[name];
    this.calls++;
    if (this.calls > CALLS_MAX) {
      throw new NonRetryable("too large");
    }
    if (step === undefined) {
      const context = new PlainContext(this, `${this.handlers++}`, "run-step");
      return json(await this.#workflow(name)(context, payload as number));
    }
    const stepId = `${handler}/${this.calls}`;
    const call: StepCall = { attempt: 3, idempotencyKey: stepId, stepId };
    return json(await step(this.ledger, payload as Given, call));
  }

  #workflow(name: string): Workflow {
    return this.#workflows.get(name) as Workflow;
  }
}

type Named = { readonly name: string };
type Work = (context: PlainContext, ...given: unknown[]) => Promise<unknown>;
type Item = { status: string; result?: unknown; error?: unknown };

/** What the programs call on a context, as plain code. */
class PlainContext {
  readonly attempt = 2;
  readonly next: Promise<{ payload: number }>;
  #goOn: (next: { payload: number }) => void = () => undefined;
  readonly #events = new Map<string, number>();
  readonly #opened = new Map<string, number[]>();

  constructor(
    readonly world: World,
    readonly handler: string,
    readonly stepId: string,
  ) {
    this.next = new Promise((resolve) => {
      this.#goOn = resolve;
    });
  }

  async step({ name }: Named, payload: unknown): Promise<unknown> {
    const given = json(payload);
    await soon();
    return this.world.outcome("step-failed", () => this.world.call(this.handler, name, given));
  }

  async run(name: string, compute: () => unknown): Promise<unknown> {
    await soon();
    this.world.waits.push({ kind: "value", name });
    return json(await compute());
  }

  async sleep(_: unknown, name = "sleep"): Promise<void> {
    await soon();
    this.world.waits.push({ kind: "timer", name });
  }

  async now(): Promise<Date> {
    return new Date((await this.run("now", () => Date.now())) as number);
  }

  uuid(): Promise<unknown> {
    return this.run("uuid", () => crypto.randomUUID());
  }

  random(): Promise<unknown> {
    return this.run("random", () => Math.random());
  }

  async version(name: string, newest: number): Promise<unknown> {
    await soon();
    this.world.versions.add(`${this.handler} ${name}`);
    return newest;
  }

  async openEvent(name: string): Promise<{ id: string }> {
    this.#opened.set(name, [...(this.#opened.get(name) ?? []), this.#open(name)]);
    await soon();
    return { id: "event" };
  }

  async event(name: string, options: { default?: unknown } = {}): Promise<unknown> {
    const number = this.#opened.get(name)?.shift() ?? this.#open(name);
    await soon();
    if (name.startsWith("never")) {
      return new Promise(() => undefined);
    }
    if (name.startsWith("no")) {
      throw failed("event-rejected", "");
    }
    if (!name.startsWith("late")) {
      return { name, number };
    }
    if ("default" in options) {
      return options.default;
    }
    throw failed("event-expired", "");
  }

  async callback(name: string, submit: (url: string, context: PlainContext) => Promise<unknown>): Promise<unknown> {
    await this.openEvent(name);
    await submit("url", this);
    return this.event(name);
  }

  runWorkflow({ name }: Named, payload: number): Promise<unknown> {
    return this.world.outcome("run-failed", async () => {
      this.world.calls++;
      await soon();
      return this.world.run(name, payload);
    });
  }

  async startRun(workflow: Named, payload: number): Promise<{ result: () => Promise<unknown> }> {
    const run = this.runWorkflow(workflow, payload);
    this.world.started.push(run.catch(() => undefined));
    return { result: () => run };
  }

  continueAs(payload: number): Promise<never> {
    this.#goOn({ payload });
    return new Promise(() => undefined);
  }

  async map(items: unknown[], work: Named | Work, options: { toleratedFailures?: number } = {}): Promise<PlainBatch> {
    const calls = items.map((item, index) => {
      const branch = this.#branch();
      return typeof work === "function" ? work(branch, item, index) : branch.step(work, item);
    });
    return new PlainBatch(await Promise.allSettled(calls), options.toleratedFailures);
  }

  async parallel(works: Work[] | Record<string, Work>): Promise<PlainBatch> {
    return new PlainBatch(await Promise.allSettled(Object.values(works).map((work) => work(this.#branch()))));
  }

  race(works: Record<string, Work>): Promise<unknown> {
    return Promise.race(
      Object.entries(works).map(async ([name, work]) => ({ name, result: await work(this.#branch()) })),
    );
  }

  async until(
    check: Named | ((state: unknown) => unknown),
    { state, maxAttempts = 99, name = "" }: { state: unknown; maxAttempts?: number; name?: string },
  ): Promise<unknown> {
    for (let [attempt, given] = [1, state]; ; attempt++) {
      const isStep = typeof check !== "function";
      const checked = isStep ? this.step(check, given) : this.run(name || "check", () => check(given));
      const [isMet, found] = (await checked) as [boolean, unknown];
      if (isMet) {
        return found;
      }
      if (attempt >= maxAttempts) {
        throw new ConditionNotMetError("", attempt, found);
      }
      await this.sleep(0, name || "sleep");
      given = found;
    }
  }

  async saga(work: (saga: unknown) => Promise<unknown>): Promise<unknown> {
    const undos: (() => Promise<unknown>)[] = [];
    const step = (called: Named, payload: unknown, { undo }: { undo: Named | Work }): Promise<unknown> => {
      undos.unshift(() => (typeof undo === "function" ? undo(this) : this.step(undo, payload)));
      return this.step(called, payload);
    };
    try {
      return await work({ step });
    } catch (error) {
      for (const undo of undos) {
        await undo();
      }
      throw error;
    }
  }

  #open(name: string): number {
    const number = (this.#events.get(name) ?? 0) + 1;
    this.#events.set(name, number);
    this.world.waits.push({ kind: "event", name });
    if (this.handler === "0") {
      this.world.asked.add(name);
    }
    return number;
  }

  #branch(): PlainContext {
    return new PlainContext(this.world, this.handler, this.stepId);
  }
}

class PlainBatch {
  readonly endedBy: string;
  readonly #items: Item[];

  constructor(outcomes: PromiseSettledResult<unknown>[], tolerated = outcomes.length) {
    this.#items = outcomes.map((each) =>
      each.status === "fulfilled"
        ? { status: "succeeded", result: each.value }
        : { status: "failed", error: each.reason },
    );
    this.endedBy = this.#items.filter(({ error }) => error).length > tolerated ? "failures_exceeded" : "all_completed";
  }

  results(): unknown[] {
    return this.#items.map(({ error, result }) => {
      if (error !== undefined) {
        throw error;
      }
      return result;
    });
  }

  [Symbol.iterator](): Iterator<Item> {
    return this.#items[Symbol.iterator]();
  }
}

function failed(code: string, message: string): StepFailedError {
  return new StepFailedError(code, message, {} as StepFailure);
}

/** What JSON makes of a value. */
function json(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null));
}

function soon(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
