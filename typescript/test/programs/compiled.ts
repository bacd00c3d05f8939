/** The functions of a program, ready to run. */

import { type Program, sourceOf } from "./language.ts";
import { NAMES } from "./library.ts";

export type Workflow = (context: unknown, n: number) => Promise<unknown>;

type AsyncFunction = new (...parts: string[]) => (...given: unknown[]) => Promise<unknown>;
// The class of async functions has no name of its own.
const AsyncFunction = (async () => undefined).constructor as AsyncFunction;

/** Each function of the program. `references`: what it calls, by name, its own functions among them. */
export function compiled(program: Program, references: Readonly<Record<string, unknown>>): Map<string, Workflow> {
  const names = [...Object.keys(NAMES), ...Object.keys(references)];
  const values = [...Object.values(NAMES), ...Object.values(references)];
  return new Map(
    Object.entries(program.functions).map(([name, body]) => {
      const run = new AsyncFunction(...names, "ctx", "n", sourceOf(body));
      return [name, (context, n) => run(...values, context, n)];
    }),
  );
}
