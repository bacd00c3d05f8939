/**
 * Sagas: an undo is noted before each call, since a call without an answer may have had its effect. All undos are made,
 * the last one first, when the saga's function rejects.
 *
 * Before the first undo, the saga records that it is undone. Each later attempt of the workflow finds the record and
 * undoes the rest, even if its function does not reject again. Such an attempt calls nothing new.
 */

import { NonRetryable, RetryAfter } from "./answers.ts";
import { mayEndWithout } from "./batches.ts";
import type { Answer, Made, Manner, Planned } from "./calls.ts";
import type { RetryPolicy } from "./client.ts";
import {
  type CallOptions,
  type CoreContext,
  here,
  type Jsonify,
  type Served,
  stepPlan,
  valuePlan,
} from "./core_context.ts";
import { AtomicError, CancelledError, endOf, SagaFailedError } from "./errors.ts";
import type { Position } from "./identity.ts";
import { below, labelled, recorded, told } from "./made.ts";
import type { Scope } from "./scope.ts";
import { within } from "./strands.ts";

/** What undoes a call: a step, a URL, or a function that makes the call on the context that it is given. */
export type Undo<Payload = never> = Served<Payload> | string | ((context: CoreContext) => unknown);

/** Options of a saga. */
export interface SagaOptions {
  /** Its name for people (default `saga`). */
  readonly name?: string;
  /** How often a failed attempt of an undo is repeated (default: 1000 times, which takes longer than a day). */
  readonly retry?: RetryPolicy | number;
}

/** How a call of a saga is undone. */
export interface Undoing<Payload> {
  /** It must accept that the call has had no effect. */
  readonly undo: Undo<Payload>;
  /** The payload of the undo (default: that of the step). */
  readonly undoPayload?: Payload;
}

interface Undone {
  readonly undo: Undo;
  readonly undoPayload?: unknown;
}

interface Noted {
  /** What undoes the call. `key` tells it apart from all other calls of its saga. */
  readonly undo: (key: string) => Promise<unknown>;
  readonly key: string;
  /** The call that is undone; none if the undo was noted by hand. */
  readonly call?: {
    readonly planned: Planned;
    readonly position: Position;
    readonly made: Made;
    readonly scope: Scope;
  };
  /** Whether this attempt has begun the call, and may have posted it. */
  hasBegun: boolean;
  /** When it ended: empty if it was refused, undefined if it has not ended. */
  endedAt?: string;
}

const UNDO_RETRIES = 1000;
const BECAUSE_MAX = 1000;
const NAME_MAX = 255;

/** A saga in one attempt of its workflow. */
export class Saga {
  readonly #context: CoreContext;
  readonly #branch: (scope: Scope) => CoreContext;
  readonly #name: string;
  readonly #retry: RetryPolicy | number;
  readonly #scope: Scope;
  /** The branch of the undos, which are made also when the run is cancelled. */
  readonly #undoing: Scope;
  readonly #noted: Noted[] = [];
  #isOver = false;

  /** @internal */
  constructor(
    context: CoreContext,
    { name = "", retry = UNDO_RETRIES }: SagaOptions,
    branch: (scope: Scope) => CoreContext,
  ) {
    const outer = here(context);
    const ticket = outer.take(`saga ${name}`, name || "saga");
    this.#context = context;
    this.#branch = branch;
    this.#name = name || "saga";
    this.#retry = retry;
    this.#scope = below(outer, `saga${ticket.position.number}${name && `:${name}`}`);
    this.#undoing = below(this.#scope, "undo");
    this.#undoing.isTold = true;
    ticket.settled();
  }

  /** Call a step, and undo it if the saga's function rejects. */
  step<Input, Output>(
    step: Served<Input, Output>,
    payload: Input,
    options: CallOptions & Undoing<Input>,
  ): Promise<Jsonify<Output>>;
  step<Input, Output, Own>(
    step: Served<Input, Output>,
    payload: Input,
    options: CallOptions & Undoing<Own> & { readonly undoPayload: Own },
  ): Promise<Jsonify<Output>>;
  step<Own>(step: string, payload: unknown, options: CallOptions & Undoing<Own>): Promise<unknown>;
  step(step: Served | string, payload: unknown, given: CallOptions & Undone): Promise<unknown> {
    const { undo, undoPayload = payload, ...options } = given;
    const plan = (): Planned => stepPlan(this.#context, step, payload, options);
    return told(this.#call(plan, undo, undoPayload, { key: options.key }));
  }

  /** Compute a value as `ctx.run` does, and undo it if the saga's function rejects. */
  run<Value, Payload = null>(
    name: string,
    compute: () => Value | Promise<Value>,
    { undo, undoPayload }: Undoing<Payload>,
  ): Promise<Jsonify<Value>> {
    const plan = (): Planned => valuePlan(labelled(this.#context, name));
    return told(this.#call(plan, undo as Undo, undoPayload ?? null, { compute })) as Promise<Jsonify<Value>>;
  }

  /** Note an undo: it is made if the saga's function rejects from now on. */
  undo<Payload>(undo: Undo<Payload>, payload?: Payload, options: CallOptions = {}): void {
    const { position, settled } = this.#scope.take("by hand", "an undo");
    settled();
    const name = typeof undo === "string" ? undo : undo.name || "by hand";
    this.#note({
      undo: this.#undoOf(undo as Undo, payload ?? null, name, options),
      key: `${position.number}`,
      hasBegun: true,
      endedAt: "",
    });
  }

  /** @internal */
  async end<Result>(block: () => Promise<Result>): Promise<Result> {
    let outcome: { result: Result } | { raised: unknown };
    try {
      outcome = { result: await block() };
    } catch (raised) {
      if (raised instanceof RetryAfter) {
        throw raised;
      }
      outcome = { raised };
    }
    this.#isOver = true;
    const { calls } = this.#context;
    if ("result" in outcome && (await calls.doing(() => this.#undoneBecause())) === undefined) {
      return outcome.result;
    }
    const raised = "raised" in outcome ? outcome.raised : undefined;
    const compute = (): string =>
      `${raised instanceof Error ? `${raised.name}: ${raised.message}` : raised}`.slice(0, BECAUSE_MAX);
    const recorded = await calls.perform(this.#undoing, () => this.#record, { position: this.#recordedAt, compute });
    const errors: unknown[] = [];
    for (const noted of [...this.#noted].reverse()) {
      await this.#undo(noted).catch((error: unknown) => errors.push(error));
    }
    if ("raised" in outcome && errors.length === 0) {
      throw raised;
    }
    throw new SagaFailedError(this.#name, recorded.response as string, errors, { cause: raised });
  }

  async #call(plan: () => Planned, undo: Undo, undoPayload: unknown, manner: Manner): Promise<unknown> {
    const { calls } = this.#context;
    const scope = here(this.#context);
    const planned = plan();
    const { called, document, what } = planned;
    const { position, settled } = scope.take(`${called} ${document.stepName ?? ""}`, what, manner.key);
    const name = (document.stepName as string | undefined) ?? what.slice(what.lastIndexOf("/") + 1);
    const undone = this.#undoOf(undo, undoPayload, name, {});
    const at = this.#noted.length;
    // Noted now: the calls of a saga are undone in the order in which they were made, whatever is computed meanwhile.
    this.#note({ undo: undone, key: "", hasBegun: false });
    const made = await calls.make(planned, position);
    const noted: Noted = {
      undo: undone,
      key: made.id.slice(-32),
      call: { planned, position, made, scope },
      hasBegun: false,
    };
    this.#noted[at] = noted;
    const because = await calls.doing(async () => {
      const undoneBecause = await this.#undoneBecause();
      const isNew = undoneBecause !== undefined && !(await calls.results.mayHave(made.id));
      return isNew ? undoneBecause : undefined;
    });
    if (because !== undefined) {
      // A cancel is told here as in the attempt that has begun to undo.
      const told = async (): Promise<Answer> => {
        await calls.tellIfCancelled(scope, made);
        return { endedAt: "", response: because };
      };
      await calls.numbered(scope, () => planned, { position }, told).finally(settled);
      throw new SagaFailedError(this.#name, because, []);
    }
    // The first new call of a branch whose run is cancelled rejects. The undos must not post it either.
    noted.hasBegun = !calls.call.isCancelled || scope.isTold;
    try {
      const answer = await calls.perform(scope, () => planned, { ...manner, position });
      noted.endedAt = answer.endedAt;
      return answer.response;
    } catch (error) {
      noted.endedAt = endOf(error);
      throw error;
    } finally {
      settled();
    }
  }

  #note(noted: Noted): void {
    if (this.#isOver) {
      throw new Error(`The ${this.#name} ended before this call: await all of its calls in its function.`);
    }
    if (mayEndWithout(here(this.#context))) {
      const refusal = new NonRetryable(
        `A branch calls '${this.#name}', and its batch may end early: what it calls might not be undone. Use ctx.parallel without minSuccessful and toleratedFailures.`,
      );
      this.#context.calls.suspend(refusal);
    }
    this.#noted.push(noted);
  }

  #undoOf(undo: Undo, payload: unknown, name: string, options: CallOptions): Noted["undo"] {
    const branch = this.#branch(this.#undoing);
    if (typeof undo === "function") {
      return async (key) => {
        const own = below(this.#undoing, key);
        return within(own, async () => undo(this.#branch(own)));
      };
    }
    // Planned now, too: an undo that is refused undoes nothing, and its payload may be changed until then.
    const given = { retry: this.#retry, name: `undo ${name}`.slice(0, NAME_MAX), ...options };
    const planned = stepPlan(branch, undo, payload, given);
    return (key) => {
      const position = { path: [...this.#scope.path, ""], key, number: 1 };
      return this.#context.calls.perform(this.#undoing, () => planned, { position });
    };
  }

  async #undo(noted: Noted): Promise<void> {
    const { calls } = this.#context;
    const { call } = noted;
    if (call !== undefined && noted.endedAt === undefined) {
      // The function did not wait for this call.
      const isValue = call.made.called === "value";
      const wasPosted = (): Promise<boolean> => calls.results.mayHave(call.made.id);
      if (!noted.hasBegun && !(calls.call.attempt > 1 && (isValue || (await calls.doing(wasPosted))))) {
        return;
      }
      if (!isValue) {
        // The step goes on, and its undo must not come first.
        try {
          const again = calls.perform(this.#undoing, () => call.planned, { position: call.position });
          noted.endedAt = (await again).endedAt;
        } catch (error) {
          if (!(error instanceof AtomicError)) {
            throw error;
          }
          noted.endedAt = endOf(error);
        }
      }
    }
    // A call that was redriven has another end, and its undo is made again.
    const key = noted.endedAt ? `${noted.key} ${noted.endedAt}` : noted.key;
    try {
      await noted.undo(key);
    } catch (error) {
      if (!(error instanceof CancelledError && error.code === "run-cancelled")) {
        throw error;
      }
      // The cancel came while an earlier attempt undid, and has ended this undo as any other step.
      await noted.undo(`${key} again`);
    }
  }

  /** Why an earlier attempt has undone the saga; undefined if none has. */
  async #undoneBecause(): Promise<string | undefined> {
    return (await recorded(this.#context.calls, this.#record, this.#recordedAt)) as string | undefined;
  }

  get #record(): Planned {
    return valuePlan(`undo of ${this.#name}`);
  }

  get #recordedAt(): Position {
    return { path: [...this.#scope.path, "undone"], key: null, number: 1 };
  }
}
