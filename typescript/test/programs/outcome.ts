/** The outcome of a program, however it is run: how it ended, and what it did. */

import { type Effect, reason, spelled, UNSURE } from "./library.ts";

/** What a program did, each with how often. */
export interface Outcome {
  readonly end: string;
  /** Effects, by their names. */
  readonly effects: Counts;
  /** The effects of each strand, in their order. */
  readonly strands: Counts;
  /** Timers, events and values, by kind and name. */
  readonly waits: Counts;
}

type Counts = Readonly<Record<string, number>>;

/** A timer, an event or a value. */
export interface Wait {
  readonly kind: string;
  readonly name: string;
}

// What a batch, a saga or a condition records for itself, and events that lose a race.
const OWN = /^((begin|end|undo) of |never)/;

/** `handlerOf`: the handler that called a step, since each has strands of its own. */
export function outcome(
  end: string,
  effects: readonly Effect[],
  waits: readonly Wait[],
  handlerOf: (effect: Effect) => string,
): Outcome {
  const compared = effects.filter(({ step }) => step !== UNSURE);
  const strands = new Map<string, string[]>();
  for (const effect of compared.filter(({ at }) => at !== "")) {
    const strand = `${handlerOf(effect)} ${effect.at}`;
    strands.set(strand, [...(strands.get(strand) ?? []), effect.shown]);
  }
  const named = waits.map(({ kind, name }) => ({ kind, name: name.slice(name.lastIndexOf(": ") + 1).trim() }));
  return {
    end,
    effects: counted(compared.map(({ shown }) => shown)),
    strands: counted([...strands].map(([strand, shown]) => `${strand.split(" ").at(-1)}: ${shown.join(", ")}`)),
    waits: counted(named.filter(({ name }) => !OWN.test(name)).map(({ kind, name }) => `${kind} ${name}`)),
  };
}

/** The end of a program: its result, or why it failed. */
export async function endOf(result: Promise<unknown>): Promise<string> {
  try {
    return `returned ${spelled(await result)}`;
  } catch (error) {
    return `failed: ${reason(error)}`;
  }
}

/** What `found` has otherwise than `plain`, as texts. */
export function differences(plain: Outcome, found: Outcome): string[] {
  const lines = plain.end === found.end ? [] : [`it ended otherwise: ${found.end} instead of ${plain.end}`];
  for (const what of ["effects", "strands", "waits"] as const) {
    const [own, others] = [plain[what], found[what]];
    for (const name of new Set([...Object.keys(own), ...Object.keys(others)])) {
      if (own[name] !== others[name]) {
        lines.push(`${what}: ${name}: ${others[name] ?? 0} times instead of ${own[name] ?? 0}`);
      }
    }
  }
  return lines;
}

function counted(names: readonly string[]): Counts {
  const counts: Record<string, number> = {};
  for (const name of names) {
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
