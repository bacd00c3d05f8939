// Which runs of a redrive of many have failed again, as the lists of failed runs tell.

import { ms } from "./format.js";

/** So many failed runs, the newest, are compared: `failedRuns` reads no more. */
export const COMPARED_MAX = 1000;

/**
 * `{same, others, isAll}`: how many of its runs have failed since for the cause that they had, and for
 * another one. Not `isAll`: some runs were not compared, because a list has more.
 * `filter`, `createdAt`: of the redrive, and when it began. `workflow`: that of the cause, if it is known.
 * `endedBefore`: of chosen runs, by id, when each had ended; undefined for all runs of the filter.
 */
export async function failedAgain(api, { filter, createdAt, workflow, endedBefore }, signal) {
  const { cause, createdAfter, createdBefore } = filter;
  const failed = {
    dismissed: false,
    createdAfter,
    createdBefore: createdBefore && ms(createdBefore) < ms(createdAt) ? createdBefore : createdAt,
  };
  const [same, all] = await Promise.all([
    api.failedRuns({ ...failed, cause }, signal),
    api.failedRuns({ ...failed, workflowName: workflow }, signal),
  ]);
  const isAgain = (run) => {
    if (endedBefore) return endedBefore.has(run.runId) && run.finishedAt !== endedBefore.get(run.runId);
    // One that failed for the first time meanwhile was not redriven.
    return run.generation > 1 && ms(run.finishedAt) > ms(createdAt);
  };
  const isOther = (run) => run.cause?.id !== cause && isAgain(run);
  return {
    same: same.items.filter(isAgain).length,
    others: all.items.filter(isOther).length,
    isAll: same.isAll && all.isAll,
  };
}
