// The times of a backfill: found first by a dry run, then started, and nothing but what was found.

import { ms } from "./format.js";

// So many are found and started at once; the server has as many on a page.
const PAGE = 100;
// The times that one dialog shows.
const MOST = 1000;

/**
 * The times from a moment on and before another: `{slots, rest}`, where `rest` is the first time that is
 * not among them, if there are more. `ask` sends a request for a backfill.
 */
export async function findTimes(ask, from, to) {
  const slots = [];
  let next = from;
  while (next && slots.length < MOST) {
    const page = await ask({ from: next, to, limit: PAGE, dryRun: true });
    slots.push(...page.slots);
    next = page.next;
  }
  return { slots, rest: next };
}

/** Start the runs of these times, which have one each; `tell` gets what is done. */
export async function startTimes(ask, slots, tell) {
  const made = [];
  for (let first = 0; first < slots.length; first += PAGE) {
    const wanted = slots.slice(first, first + PAGE);
    const from = wanted[0].scheduledAt;
    const to = new Date(ms(wanted.at(-1).scheduledAt) + 1).toISOString();
    const page = await ask({ from, to, limit: PAGE });
    made.push(...page.slots);
    tell(made);
    if (timesOf(page.slots) !== timesOf(wanted)) throw changedMeanwhile();
  }
  return made;
}

const timesOf = (slots) => slots.map(({ scheduledAt }) => scheduledAt).join();

/** How many of these runs were started, or in a dry run would be, and how many exist. */
export function numbersOf(slots) {
  const fresh = slots.filter(({ runId, created }) => created || !runId).length;
  return { fresh, existing: slots.length - fresh };
}

function changedMeanwhile() {
  const error = new Error("The times of the schedule have changed meanwhile");
  error.detail = "No further run is started. Show the times again.";
  return error;
}
