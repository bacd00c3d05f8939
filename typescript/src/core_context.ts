/** What every workflow calls: steps, values and sleeps. */

import { type Answer, type Calls, type Manner, never, type Planned } from "./calls.ts";
import { canonicalJson } from "./canonical.ts";
import { type StepOptions, stepMembers } from "./client.ts";
import { type Duration, milliseconds } from "./durations.ts";
import type { Scope } from "./scope.ts";
import { currentScope } from "./strands.ts";

/**
 * What JSON makes of a type: a `Date` becomes a string, functions disappear, and so do members that are `undefined`. A
 * `bigint` comes back as a number, where that holds it.
 */
export type Jsonify<Value> = Value extends { toJSON(): infer Written }
  ? Jsonify<Written>
  : Value extends string | number | boolean | null
    ? Value
    : Value extends bigint
      ? bigint | number
      : // biome-ignore lint/suspicious/noConfusingVoidType: what a function without a result returns.
        [Value] extends [void]
        ? null
        : Value extends readonly unknown[]
          ? { [Index in keyof Value]: Jsonify<Value[Index]> }
          : Value extends object
            ? Members<Value>
            : unknown;

type Members<Value> = Flat<
  {
    [Name in keyof Value as Value[Name] extends (...given: never[]) => unknown
      ? never
      : MayBeLeftOut<Value[Name]> extends true
        ? never
        : Name]: Jsonify<Value[Name]>;
  } & {
    [Name in keyof Value as MayBeLeftOut<Value[Name]> extends true ? Name : never]?: Jsonify<
      Exclude<Value[Name], undefined>
    >;
  }
>;

type MayBeLeftOut<Value> = unknown extends Value ? false : undefined extends Value ? true : false;
type Flat<Value> = { [Name in keyof Value]: Value[Name] };

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

/** A workflow's view of its run: what it needs most, in as few bytes as can be. */
export class CoreContext {
  declare readonly runId: string;
  declare readonly stepId: string;
  declare readonly workflowName: string;
  declare readonly idempotencyKey: string;
  /** From 1. */
  declare readonly attempt: number;
  /** Whether the run is being cancelled, and this call may undo what earlier ones did. */
  declare readonly isCancelled: boolean;

  /** @internal */
  constructor(
    readonly calls: Calls,
    readonly scope: Scope,
  ) {
    const { runId, stepId, workflowName, idempotencyKey, attempt, isCancelled } = calls.call;
    Object.assign(this, { runId, stepId, workflowName, idempotencyKey, attempt, isCancelled });
  }

  /** Call a step that is served beside this workflow, or any URL, and wait for its result. */
  step<Input, Output>(step: Served<Input, Output>, payload: Input, options?: CallOptions): Promise<Jsonify<Output>>;
  step(step: string, payload?: unknown, options?: CallOptions): Promise<unknown>;
  step(step: Served | string, payload: unknown = null, options: CallOptions = {}): Promise<unknown> {
    return this.perform(() => stepPlan(this, step, payload, options), { key: options.key });
  }

  /** Compute a value once and keep it: later attempts of the workflow get the same one. It runs in the workflow. */
  run<Value>(name: string, compute: () => Value | Promise<Value>): Promise<Jsonify<Value>> {
    return this.perform(() => valuePlan(this.named(name)), { compute }) as Promise<Jsonify<Value>>;
  }

  /**
   * Wait; for days, if need be: the workflow is suspended meanwhile. The first call decides when it ends, and replays
   * keep that: so `until` may be computed from the time of the attempt.
   */
  sleep(until: Date | Duration, name = "sleep"): Promise<undefined> {
    return this.perform(
      () => {
        const ends = until instanceof Date ? { startAt: until } : { delay: milliseconds("sleep", until) };
        return { what: name, called: "timer", document: { kind: "timer", stepName: this.named(name), ...ends } };
      },
      {},
      () => undefined,
    ) as Promise<undefined>;
  }

  /** The time, the same in every attempt. */
  async now(): Promise<Date> {
    return new Date((await this.run("now", Date.now)) as number);
  }

  /** A UUID, the same in every attempt. */
  uuid(): Promise<string> {
    return this.run("uuid", () => crypto.randomUUID());
  }

  /** A number from 0 to 1, the same in every attempt. */
  random(): Promise<number> {
    return this.run("random", Math.random);
  }

  /**
   * The name of a step for people, if it has one.
   * @internal
   */
  named<Given extends string | undefined>(given: Given, _known?: string): Given | string {
    return given;
  }

  /**
   * `read`: what the caller gets of an answer.
   * @internal
   */
  perform(plan: () => Planned, manner?: Manner, read: (answer: Answer) => unknown = responseOf): Promise<unknown> {
    const call = this.calls.perform(here(this), plan, manner).then(read);
    // It may fail before it is awaited, and that would end the process of the application.
    call.catch(never);
    return call;
  }
}

function responseOf({ response }: Answer): unknown {
  return response;
}

/** The branch that makes a call on this context. */
export function here(context: CoreContext): Scope {
  return currentScope(context.scope);
}

/** The name of a step, and its URL. */
export function addressed(context: CoreContext, step: Served | string): { name: string; url: string } {
  const name = typeof step === "string" ? step : step.name;
  return { name, url: new URL(name, context.calls.call.url).href };
}

/** The call of a step. */
export function stepPlan(
  context: CoreContext,
  step: Served | string,
  payload: unknown,
  { key: _, name: given, ...options }: CallOptions,
): Planned {
  const { name, url } = addressed(context, step);
  const shown = context.named(given, name);
  return {
    what: shown ?? url,
    called: url,
    document: { stepInvokeUrl: url, ...(shown && { stepName: shown }), ...stepMembers(options) },
    payload: canonicalJson(payload, `the payload of step '${name}'`),
  };
}

/** A value that the handler computes. */
export function valuePlan(name: string): Planned {
  return { what: name, called: "value", document: { kind: "value", stepName: name } };
}
