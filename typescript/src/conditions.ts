/** Conditions: `until` repeats a check, with pauses, until it is met. */

import { refused } from "./batches.ts";
import { type CoreContext, here, type Served, stepPlan, valuePlan } from "./core_context.ts";
import { type Duration, milliseconds } from "./durations.ts";
import { ConditionNotMetError } from "./errors.ts";
import { below, labelled } from "./made.ts";

/** How often a check is repeated, and for how long. */
export interface UntilOptions<State = unknown> {
  /** Between two checks. */
  readonly every: Duration;
  /** The factor from one pause to the next (default 1: all pauses are the same). */
  readonly backOff?: number;
  /** From this call to the last check (default: no limit). */
  readonly deadline?: Duration;
  /** The largest number of checks (default: no limit). */
  readonly maxAttempts?: number;
  /** The input of the check. */
  readonly payload?: unknown;
  /** The input of the first check, in place of a payload. Each check then gives `[isMet, state]`. */
  readonly state?: State;
  /** The name of the checks and pauses for people. */
  readonly name?: string;
}

/** A step that is called, or a function that runs in the workflow and whose result is kept. */
export type Check = Served | string | ((given: never) => unknown);

// The longest pause that the API takes.
const PAUSE_MAX_MS = 366 * 24 * 3600 * 1000;

/** Repeat a check. All that it decides by is recorded, so each replay ends at the same check. */
export async function until(context: CoreContext, check: Check, options: UntilOptions): Promise<unknown> {
  const { backOff = 1, maxAttempts = Number.POSITIVE_INFINITY, name = "" } = options;
  let pauseMs = milliseconds("every", options.every);
  if (!(pauseMs > 0 && pauseMs <= PAUSE_MAX_MS && backOff >= 1 && maxAttempts >= 1)) {
    throw refused(
      "until: use pauses (`every`) above 0 and of 366 days at most, `backOff` and `maxAttempts` from 1 on.",
    );
  }
  const hasState = "state" in options;
  if (hasState && options.payload !== undefined) {
    throw refused("state: the check gets the state in place of a payload; give only one of them.");
  }
  const { calls } = context;
  const scope = here(context);
  const ticket = scope.take(`until ${name}`, name || "until");
  const own = below(scope, `until${ticket.position.number}${name && `:${name}`}`);
  const position = { path: own.path, key: null, number: 1 };
  try {
    let lastMs = Number.POSITIVE_INFINITY;
    if (options.deadline !== undefined) {
      const begin = valuePlan(`begin of ${name || "until"}`);
      const { endedAt } = await calls.perform(scope, () => begin, { position, compute: () => null });
      lastMs = Date.parse(endedAt) + milliseconds("deadline", options.deadline);
    }
    let given = hasState ? options.state : options.payload;
    for (let attempts = 1; ; attempts++) {
      const { response, endedAt } =
        typeof check === "function"
          ? await calls.perform(own, () => valuePlan(labelled(context, name || check.name || "check")), {
              compute: () => check(given as never),
            })
          : await calls.perform(own, () => stepPlan(context, check, given ?? null, name === "" ? {} : { name }));
      const [isMet, found] = hasState ? stateOf(response) : [Boolean(response), response];
      if (isMet) {
        return found;
      }
      const leftMs = lastMs - Date.parse(endedAt);
      if (leftMs <= 0 || attempts >= maxAttempts) {
        const why = leftMs <= 0 ? "its deadline is over" : "no attempt is left";
        throw new ConditionNotMetError(
          `The condition ${name && `'${name}' `}is not met at check ${attempts}, and ${why}.`,
          attempts,
          found,
        );
      }
      const delay = Math.round(Math.min(pauseMs, leftMs, PAUSE_MAX_MS));
      const stepName = labelled(context, name || "sleep");
      await calls.perform(own, () => ({
        what: stepName,
        called: "timer",
        document: { kind: "timer", stepName, delay },
      }));
      pauseMs *= backOff;
      given = hasState ? found : given;
    }
  } finally {
    // Also after a failure that is caught: the next condition comes after this one.
    ticket.settled();
  }
}

function stateOf(response: unknown): [boolean, unknown] {
  if (Array.isArray(response) && response.length === 2 && typeof response[0] === "boolean") {
    return [response[0], response[1]];
  }
  throw refused("until with a state: give [is the condition met, the next state].");
}
