/** All that a workflow can call. */

import { NonRetryable } from "./answers.ts";
import { type Batch, type BatchOptions, refused, runBatch } from "./batches.ts";
import type { Answer, Logger, Manner, Planned } from "./calls.ts";
import { continueAs, type RunHandle, type RunOptions, runWorkflow, type Startable, startRun } from "./child_runs.ts";
import type { WorkflowReference } from "./client.ts";
import { type Check, type UntilOptions, until } from "./conditions.ts";
import { type CallOptions, CoreContext, here, type Jsonify, type Served } from "./core_context.ts";
import {
  awaitEvent,
  type CallbackOptions,
  callback,
  type EventOptions,
  type EventsOptions,
  events,
  type OpenedEvent,
  type OpenOptions,
  openEvent,
} from "./events.ts";
import { below, labelled, told } from "./made.ts";
import { hasUnused } from "./results.ts";
import { Saga, type SagaOptions } from "./sagas.ts";
import type { Scope } from "./scope.ts";
import { within } from "./strands.ts";
import { version } from "./versions.ts";

/** Options of a map: its policy, and those of each of its steps. */
export interface MapOptions<Item> extends BatchOptions, Omit<CallOptions, "key" | "name"> {
  /** The key of an item. Give it if the order of the items may change between replays. */
  readonly key?: (item: Item) => string;
}

/** What a branch does. Its context tells its calls apart from those of other branches. */
export type Branch<Result> = (context: Context) => Promise<Result>;

type ResultOf<Work> = Work extends (...given: never[]) => Promise<infer Result> ? Result : never;

// The branches in which a value is computed.
const computing = new WeakSet<Scope>();

/** A workflow's view of its run. */
export class Context extends CoreContext {
  /** Call a step for each item side by side, or run a function for each. Resolves to the outcomes, in their order. */
  map<Item, Output>(
    items: readonly Item[],
    step: Served<Item, Output>,
    options?: MapOptions<Item>,
  ): Promise<Batch<Jsonify<Output>>>;
  map<Item, Result>(
    items: readonly Item[],
    work: (context: Context, item: Item, index: number) => Promise<Result>,
    options?: MapOptions<Item>,
  ): Promise<Batch<Result>>;
  map<Item>(items: readonly Item[], step: string, options?: MapOptions<Item>): Promise<Batch<unknown>>;
  async map<Item>(
    items: readonly Item[],
    work: Served | string | ((context: Context, item: Item, index: number) => Promise<unknown>),
    options: MapOptions<Item> = {},
  ): Promise<Batch<unknown>> {
    const { key, concurrency, minSuccessful, toleratedFailures, name, ...own } = options;
    const isPlain = typeof work !== "function";
    const indexes = [...items.keys()];
    const keys = key && items.map((item) => `/${key(item)}`);
    if (keys !== undefined) {
      if (new Set(keys).size < keys.length) {
        throw refused(`key: two items have the key ${keys.find((each, at) => keys.indexOf(each) < at)?.slice(1)}.`);
      }
      // Another attempt may have the items in another order, but their keys are the same.
      indexes.sort((one, other) => ((keys[one] ?? "") < (keys[other] ?? "") ? -1 : 1));
    }
    const works = indexes.map((index) => (scope: Scope): Promise<unknown> => {
      const item = items[index] as Item;
      const branch = this.#below(scope);
      return isPlain ? branch.step(work as string, item, own) : work(branch, item, index);
    });
    const policy = Object.fromEntries(
      Object.entries({ concurrency, minSuccessful, toleratedFailures, name }).filter(
        ([, value]) => value !== undefined,
      ),
    );
    const batch = await runBatch(this, {
      kind: "map",
      options: policy,
      works,
      isPlain,
      ...(keys && { keys: indexes.map((index) => keys[index] ?? "") }),
    });
    return keys === undefined ? batch : batch.inOrder(indexes);
  }

  /** Run functions side by side under a policy; those of an object are named. Resolves to the outcomes, in their order. */
  parallel<Result>(
    works: readonly Branch<Result>[] | Readonly<Record<string, Branch<Result>>>,
    options: BatchOptions = {},
  ): Promise<Batch<Result>> {
    return runBatch(this, { kind: "parallel", options, ...this.#works(works) });
  }

  /** Run functions side by side. Resolves to the first one that ends, and cancels the steps of the others. */
  async race<Works extends Readonly<Record<string, Branch<unknown>>>>(
    works: Works,
    options: { readonly name?: string } = {},
  ): Promise<{ [Name in keyof Works]: { readonly name: Name; readonly result: ResultOf<Works[Name]> } }[keyof Works]> {
    if (Object.keys(works).length === 0) {
      throw refused("race: give at least one function; a race without any has no winner.");
    }
    const policy = { ...options, minSuccessful: 1, toleratedFailures: 0 } as const;
    const batch = await runBatch(this, { kind: "race", options: policy, cancelsRest: true, ...this.#works(works) });
    const [result] = batch.results();
    const name = batch.succeeded[0]?.name;
    return { name, result } as never;
  }

  /** Repeat a check, with pauses in which nothing runs, until it gives something true. Resolves to that. */
  until<Output>(check: Served<never, Output>, options: UntilOptions): Promise<Jsonify<Output>>;
  until<State>(
    check: (state: State) => readonly [boolean, State] | Promise<readonly [boolean, State]>,
    options: UntilOptions<State> & { readonly state: State },
  ): Promise<State>;
  until<Found>(check: (payload: never) => Found | Promise<Found>, options: UntilOptions): Promise<Jsonify<Found>>;
  until(check: string, options: UntilOptions): Promise<unknown>;
  until(check: Check, options: UntilOptions): Promise<unknown> {
    return until(this, check, options);
  }

  /** Wait for an event: the oldest one of this name that `openEvent` has opened, else another one. */
  event<Result = unknown, Default = never>(
    name: string,
    options: EventOptions<Default> = {},
  ): Promise<Result | Default> {
    return awaitEvent(this, name, options) as Promise<Result | Default>;
  }

  /**
   * Wait for one event of a name after the other, with `for await`. Each turn takes the next message, however early it
   * came; the loop ends when none comes within `deadline`.
   */
  events<Result = unknown>(name: string, options: EventsOptions = {}): AsyncIterableIterator<Result> {
    return events(this, name, options) as AsyncIterableIterator<Result>;
  }

  /** Open an event before the workflow waits for it, so that its id or its callback URL can be passed on. */
  openEvent(name: string, options: OpenOptions = {}): Promise<OpenedEvent> {
    return openEvent(this, name, options);
  }

  /**
   * Open an event, let a step hand its URL to a third party, and wait for its result. `submit` is a step that takes the
   * URL, or a function of the URL that calls one.
   */
  callback<Result = unknown, Default = never>(
    name: string,
    submit: Served<string> | string | ((url: string, context: Context) => unknown),
    options: CallbackOptions<Default> = {},
  ): Promise<Result | Default> {
    return callback(this, name, submit, options, (scope) => this.#below(scope)) as Promise<Result | Default>;
  }

  /** Start a run of its own, and wait for its outcome. `workflow` is served beside this one, or elsewhere. */
  runWorkflow<Input, Output>(
    workflow: Served<Input, Output>,
    payload: Input,
    options?: Omit<RunOptions, "detached">,
  ): Promise<Jsonify<Output>>;
  runWorkflow<Input, Output>(
    workflow: WorkflowReference<Input, Output>,
    payload: Input,
    options?: Omit<RunOptions, "detached">,
  ): Promise<Output>;
  runWorkflow(workflow: string, payload: unknown, options: Omit<RunOptions, "detached">): Promise<unknown>;
  runWorkflow(workflow: Startable, payload: unknown, options: RunOptions = {}): Promise<unknown> {
    return runWorkflow(this, workflow, payload, options);
  }

  /** Start a run of its own, without waiting for its outcome. */
  startRun<Input, Output>(
    workflow: Served<Input, Output>,
    payload: Input,
    options?: RunOptions,
  ): Promise<RunHandle<Jsonify<Output>>>;
  startRun<Input, Output>(
    workflow: WorkflowReference<Input, Output>,
    payload: Input,
    options?: RunOptions,
  ): Promise<RunHandle<Output>>;
  startRun(workflow: string, payload: unknown, options: RunOptions): Promise<RunHandle<unknown>>;
  startRun(workflow: Startable, payload: unknown, options: RunOptions = {}): Promise<RunHandle<unknown>> {
    return startRun(this, workflow, payload, options);
  }

  /** Go on as a new run of this workflow, and end this one: `return ctx.continueAs(payload)`. */
  continueAs(payload: unknown, options: { readonly key?: string } = {}): Promise<never> {
    return continueAs(this, payload, options.key);
  }

  /** Undo what a function has called on its saga if it rejects. Resolves to the result of the function. */
  saga<Result>(work: (saga: Saga) => Promise<Result>, options: SagaOptions = {}): Promise<Result> {
    const saga = new Saga(this, options, (scope) => this.#below(scope));
    return saga.end(() => work(saga));
  }

  /**
   * The version of this part of the code that the run uses: `newest` when the run makes this call for the first time,
   * 0 when it went on from here before the code had this call.
   */
  version(name: string, newest: number): Promise<number> {
    return version(this, name, newest);
  }

  /** Logs with the ids of the run, except for what an earlier attempt has logged. */
  get logger(): Logger {
    const { calls, runId, stepId, workflowName, attempt } = this;
    const about = { runId, stepId, workflowName, attempt };
    const log =
      (level: keyof Logger) =>
      (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
        // Nothing follows the end of a handler, and a replay has logged before.
        if (!calls.isOver && !hasUnused(calls.results)) {
          calls.sink[level](message, { ...fields, ...about });
        }
      };
    return { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
  }

  /**
   * A value is computed again when its attempt dies, so its function calls nothing: that would never end. This is seen
   * where the runtime can tell which function calls.
   * @internal
   */
  override perform(plan: () => Planned, manner: Manner = {}, read?: (answer: Answer) => unknown): Promise<unknown> {
    const scope = here(this);
    if (computing.has(scope)) {
      this.calls.suspend(
        new NonRetryable("The function of a value calls the context: let the workflow call it, before or after."),
      );
    }
    const { compute } = manner;
    if (compute === undefined) {
      return super.perform(plan, manner, read);
    }
    const inside = below(scope, "value");
    computing.add(inside);
    return super.perform(plan, { ...manner, compute: () => within(inside, compute) });
  }

  /** @internal */
  override named<Given extends string | undefined>(given: Given, known = ""): Given | string {
    return here(this).label === "" ? given : labelled(this, given ?? known);
  }

  #below(scope: Scope): Context {
    return new Context(this.calls, scope);
  }

  #works<Result>(works: readonly Branch<Result>[] | Readonly<Record<string, Branch<Result>>>): {
    works: ((scope: Scope) => Promise<Result>)[];
    names?: string[];
  } {
    const started = Object.values(works).map((work) => (scope: Scope) => work(this.#below(scope)));
    return Array.isArray(works) ? { works: started } : { works: started, names: Object.keys(works) };
  }
}

// Each of them may fail before it is awaited.
const methods = Context.prototype as unknown as Record<string, (...given: unknown[]) => Promise<unknown>>;
for (const name of "map parallel race until event openEvent callback runWorkflow startRun saga version".split(" ")) {
  const own = methods[name] as (...given: unknown[]) => Promise<unknown>;
  methods[name] = function (this: unknown, ...given) {
    return told(own.apply(this, given));
  };
}
