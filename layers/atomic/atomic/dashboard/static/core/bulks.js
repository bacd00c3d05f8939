// What can be done to many failed runs at once, and the bulk of a client that is in progress.

import { LIVE } from "./enums.js";
import { isPaused } from "./timeline.js";

export const MANY = {
  redrive: {
    name: "redrive",
    verb: "Redrive",
    done: "redriven",
    effect: "Each run goes on: what failed gets a fresh budget of attempts, what has succeeded stays.",
    calls: true,
  },
  dismiss: {
    name: "dismiss",
    verb: "Dismiss",
    done: "dismissed",
    effect: "The runs stay as they are, and need no action any more. A redrive clears it.",
    hasNote: true,
  },
};

export const isLiveBulk = ({ status }) => LIVE.includes(status);

/**
 * The newest redrive or dismissal of many runs, if it is in progress, as `{runId, begun, isPaused}`;
 * undefined if there is none. A bulk is a run of the workflow `bulk/…`, so its lists are asked.
 */
export async function bulkInProgress(api) {
  const lists = await Promise.all(
    Object.keys(MANY).map((name) =>
      api.runs({ workflowName: `bulk/${name}`, limit: 1, progress: false }),
    ),
  );
  const run = lists.flatMap(({ runs }) => runs).find(isLiveBulk);
  return run && { runId: run.runId, begun: await api.bulk(run.runId), isPaused: isPaused(run) };
}
