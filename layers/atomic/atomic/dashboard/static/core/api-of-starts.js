// What is asked to start a run.

import { stepPath } from "./api.js";
import { newRun } from "./curl.js";
import { RESERVED_NAMES } from "./enums.js";
import { write } from "./stored.js";

// Of runs that are created in the same millisecond, so many are told from a new one.
const NEWEST = 20;

/** Requests about starts, beside those of the client (`createApi`). */
export function startsOf({ read, post, allOf }) {
  return {
    /** The root of the newest run of a workflow; undefined if it has none. */
    lastRun: async (workflowName) => {
      const { runs } = await read("/runs", { workflowName, limit: 1 });
      return runs[0] && read(stepPath(runs[0].id), {});
    },
    /** The names of the workflows that people start. */
    startable: async (signal) => {
      const { items } = await allOf("/workflows", "workflows", {}, signal);
      return items.map(({ workflowName }) => workflowName).filter((name) => name && !isOwn(name));
    },
    /** Start a run, and do not wait for its end: the answer, and whether the run `isOld`. */
    start: async (given) => {
      // The answer for a key that was used is that of its run. The clock of the server tells them apart.
      const { runs } = await read("/runs", { limit: NEWEST });
      const extra = { prefer: "respond-async" };
      const run = await post("", undefined, { text: write(newRun(given)), extra });
      const isOld = run.createdAt < runs[0]?.createdAt || runs.some(({ runId }) => runId === run.runId);
      return { ...run, isOld };
    },
  };
}

/** Whether a workflow is one of those that Atomic itself starts. */
const isOwn = (workflowName) => RESERVED_NAMES.some((own) => workflowName.startsWith(own));
