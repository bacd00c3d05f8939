/**
 * A workflow in a unit test: without a server, and without time.
 *
 * The handler runs on the same calls as everywhere. What is different is who answers them: functions and results of the
 * test. By default the handler is suspended at each step, and replayed when it has ended, so that a workflow which is
 * not deterministic fails here.
 */

import { success } from "./answers.ts";
import { mayEndWithout } from "./batches.ts";
import type { Call } from "./call.ts";
import { type Answer, Calls, type Logger, type Made, type Manner, type Planned } from "./calls.ts";
import type { Jsonify, Served } from "./core_context.ts";
import type { Endpoint } from "./endpoints.ts";
import { Connection } from "./http.ts";
import { type Position, runId } from "./identity.ts";
import { parseJson, writeJson } from "./json.ts";
import { type Answers, CLIENT, type MockCall, MockError, MockSteps } from "./mock_steps.ts";
import type { Scope } from "./scope.ts";

/** What a workflow is given, and what answers its calls. */
export interface MockOptions<Input> {
  readonly payload: Input;
  /** By the name of a step or of another workflow: its result, or a function of its payload. `answer` types it. */
  readonly steps?: Answers;
  /**
   * By the name of an event: its result, or a function of its number. One that throws rejects it; one that returns
   * nothing does not send it. `delayed("2d", result)` sends it later.
   */
  readonly events?: Answers;
  /** By the name of a value, in place of what `ctx.run` would compute: it, or a function. */
  readonly values?: Answers;
  /** What `ctx.now()` tells at the beginning (default: the time). */
  readonly now?: Date;
  /** The key of the run. */
  readonly key?: string;
  /** The times of the schedule that starts the run, and of its run before. */
  readonly scheduledAt?: Date;
  readonly lastScheduledAt?: Date;
  /** Replay the handler at each step, and not only at sleeps and events (default true). */
  readonly alwaysReplay?: boolean;
  /** Where `ctx.logger` writes (default: `console`). */
  readonly logger?: Logger;
}

/** How a workflow has ended. */
export interface MockedRun<Output> {
  /** What it returned, as JSON has it; undefined if it failed or goes on as another run. */
  readonly result: Output | undefined;
  /** What it threw. */
  readonly error: unknown;
  /** The calls that it made, in their order. */
  readonly calls: readonly MockCall[];
  /** How often the handler was called. */
  readonly attempts: number;
  /** What time it was at the end. */
  readonly now: Date;
  /** The payload of the next run, if the workflow has gone on as one. */
  readonly continuedAs?: { readonly payload: unknown };
}

/** A handler did not make the same calls in a replay as before. */
export class DifferentReplayError extends MockError {
  override readonly name = "DifferentReplayError";
}

interface Noted {
  readonly what: string;
  readonly payload: string;
  readonly scope: Scope;
}

type Notes = Map<string, Noted>;

const ATTEMPTS_MAX = 10_000;
const SHOWN_CHARS = 80;
const SHOWN_CALLS = 20;

/**
 * Run a workflow to its end, on answers of the test. Rejects when the test has no answer to a call, when nothing that
 * the workflow waits for can come, and when a replay makes other calls.
 */
export async function mockRun<Input, Output>(
  workflow: Endpoint<Input, Output>,
  options: MockOptions<Input>,
): Promise<MockedRun<Jsonify<Output>>> {
  const { run, name } = workflow;
  if (run === undefined) {
    throw new MockError(`'${name}' is no workflow: a step is a function, so call it.`);
  }
  const { key = "mock", alwaysReplay = true, steps = {}, events = {}, now = new Date() } = options;
  const id = await runId(CLIENT, name, key);
  const call: Call = {
    runId: id,
    stepId: `${id}-root`,
    workflowName: name,
    idempotencyKey: key,
    attempt: 1,
    isCancelled: false,
    continuedFrom: undefined,
    url: `http://mock.invalid/${name}`,
    headers: headersOf(options),
  };
  const taken = new MockSteps(call, now.getTime(), alwaysReplay, steps, events);
  const connection = new Connection({ url: "http://mock.invalid", clientId: CLIENT, fetch: taken.fetch });
  const payload = writeJson(options.payload ?? null, `the payload of ${name}`);
  let before: Notes = new Map();
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const calls = new MockCalls({ ...call, attempt }, connection, options, taken);
    let outcome: { result?: Jsonify<Output>; error?: unknown } | undefined;
    try {
      const end = await run(calls, parseJson(payload));
      if ("result" in end) {
        const written = await success(end.result, `the result of ${name}`).text();
        outcome = { result: parseJson(written) as Jsonify<Output> };
      } else if (end.cause !== undefined) {
        outcome = taken.continuedAs === undefined ? { error: end.cause } : {};
      }
    } catch (error) {
      outcome = { error };
    }
    if (taken.fault !== undefined) {
      throw taken.fault;
    }
    compare(before, calls, attempt);
    before = calls.notes;
    if (outcome !== undefined) {
      const { continuedAs } = taken;
      const { result, error } = outcome;
      const more = continuedAs === undefined ? {} : { continuedAs };
      return { result, error, calls: taken.calls, attempts: attempt, now: taken.now, ...more };
    }
    await taken.settle();
  }
  throw new MockError(`The workflow has been called ${ATTEMPTS_MAX} times, and has not ended.`);
}

function headersOf({ scheduledAt, lastScheduledAt }: MockOptions<unknown>): Headers {
  const times = { "atomic-scheduled-at": scheduledAt, "atomic-last-scheduled-at": lastScheduledAt };
  const given = Object.entries(times).flatMap(([name, time]) =>
    time === undefined ? [] : [[name, time.toISOString()]],
  );
  return new Headers([["atomic-attempt-token", "mock"], ...given] as [string, string][]);
}

/** The answer to a step, with its types: `steps: { ...answer(insert, (name) => ({ id: 1, name })) }`. */
export function answer<Input, Output>(
  step: Served<Input, Output>,
  given: Output | ((payload: Jsonify<Input>, call: Call) => Output | Promise<Output>),
): Answers {
  return { [step.name]: given };
}

/** Calls that note what the handler calls, and take its values from the test. */
class MockCalls extends Calls {
  readonly notes: Notes = new Map();
  /** The ids of all that the handler calls, or only looks for. */
  readonly met: Set<string> = new Set();
  readonly #options: MockOptions<unknown>;
  readonly #taken: MockSteps;

  constructor(call: Call, connection: Connection, options: MockOptions<unknown>, taken: MockSteps) {
    super(call, connection, 0, options.logger);
    this.#options = options;
    this.#taken = taken;
  }

  override perform(scope: Scope, plan: () => Planned, manner: Manner = {}): Promise<Answer> {
    const { compute } = manner;
    const own = compute === undefined ? manner : { ...manner, compute: () => this.#value(plan(), compute) };
    return super.perform(scope, plan, own);
  }

  override async make(planned: Planned, position: Position): Promise<Made> {
    const made = await super.make(planned, position);
    this.met.add(made.id);
    return made;
  }

  override numbered(
    scope: Scope,
    plan: () => Planned,
    manner: Manner,
    ask: (made: Made) => Promise<Answer | undefined>,
  ): Promise<Answer> {
    return super.numbered(scope, plan, manner, (made) => {
      this.notes.set(made.id, { what: `${kindOf(made)} ${made.what}`, payload: made.payload ?? "", scope });
      return ask(made);
    });
  }

  #value({ document }: Planned, compute: () => unknown): unknown {
    const { values = {} } = this.#options;
    const name = `${document.stepName}`;
    // The names of values in a named branch begin with its name.
    for (const known of [name, name.slice(name.lastIndexOf(": ") + 2)]) {
      if (Object.hasOwn(values, known)) {
        const given = values[known];
        return typeof given === "function" ? given() : given;
      }
    }
    return name === "now" ? this.#taken.now.getTime() : compute();
  }
}

function kindOf({ document }: Planned): string {
  return document.kind === undefined ? "step" : `${document.kind}`;
}

/** What was called must be called again, except in branches that their batch has ended without. */
function compare(before: Notes, { notes: after, met }: MockCalls, attempt: number): void {
  for (const [id, noted] of before) {
    const again = after.get(id);
    const isLost = !met.has(id) && !mayEndWithout(noted.scope);
    if (isLost || (again !== undefined && again.payload !== noted.payload)) {
      throw new DifferentReplayError(
        `The workflow called ${shown(noted)}, and in its replay, attempt ${attempt}, ${
          again === undefined ? "it did not" : `${shown(again)}`
        }. Take what may differ from ctx.now(), ctx.uuid(), ctx.random(), ctx.run(name, compute) or a step.\nBefore:\n${listed(before)}\nThen:\n${listed(after)}`,
      );
    }
  }
}

function shown({ what, payload }: Noted): string {
  const text = `${what} ${payload}`.trim();
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
}

function listed(notes: Notes): string {
  const lines = [...notes.values()].slice(0, SHOWN_CALLS).map((noted) => `  ${shown(noted)}`);
  return lines.length < notes.size ? [...lines, "  …"].join("\n") : lines.join("\n");
}
