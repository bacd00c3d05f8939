/** Versions of parts of a workflow's code: each run keeps the one with which it came there. */

import { refused } from "./batches.ts";
import { type CoreContext, here, valuePlan } from "./core_context.ts";
import { RefusedError } from "./errors.ts";
import { below } from "./made.ts";
import { hasUnused } from "./results.ts";

// All calls with this name, in all branches, get the same version.
const POSITION = { path: ["version"], key: null, number: 1 } as const;

/**
 * The newest version for a run that comes here for the first time. 0 for one that went on from here before: then steps
 * are left that this attempt has not asked for.
 */
export async function version(context: CoreContext, name: string, newest: number): Promise<number> {
  if (!(Number.isInteger(newest) && newest >= 1)) {
    throw refused(`newest: use a whole number from 1 on, not ${newest}.`);
  }
  const { calls } = context;
  const { results } = calls;
  const compute = (): number => {
    if (!results.isComplete) {
      const detail = `version '${name}': the results of earlier attempts cannot be read.`;
      throw new RefusedError("unavailable", detail, 503);
    }
    return hasUnused(results) ? 0 : newest;
  };
  const scope = below(here(context), "version");
  // A run that went on from here is told of a cancel where it was, and not here.
  scope.isTold ||= hasUnused(results);
  const plan = valuePlan(`version ${name}`);
  return (await calls.perform(scope, () => plan, { position: POSITION, compute })).response as number;
}
