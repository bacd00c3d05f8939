// What a schedule does when a run cannot start in time, in words, and which schedules come first in a list.

import { wholeDuration } from "./cadence.js";
import { count, ms, plural } from "./format.js";

// For a policy that is not in these lists, the page shows only its name.
const OVERLAPS = {
  skip: "While the run before goes on, a time is left out, and counted as skipped.",
  queue: "While the run before goes on, one time is kept and starts at its end; others are skipped.",
  cancel: "The run before is cancelled if it still goes on.",
  allow: "A run starts also while others go on.",
};
const CATCH_UPS = {
  last: "Of the times that passed while the server was down, the last one starts.",
  all: "All times that passed while the server was down start.",
  none: "No time that passed while the server was down starts.",
};

export const overlapInWords = ({ overlap }) => OVERLAPS[overlap] ?? overlap;

export function catchUpInWords({ catchUp: { policy, window } }) {
  const said = CATCH_UPS[policy] ?? policy;
  return policy === "none" ? said : `${said} None starts that is older than ${wholeDuration(window)}.`;
}

/** What ends or stops a schedule, as a list of sentences; `timeOf` writes a time. */
export function limitsInWords({ until, limit, pauseAfterFailures }, timeOf) {
  return [
    until && `No run after ${timeOf(ms(until))}.`,
    limit !== null && `${plural(limit, "run")} in all.`,
    pauseAfterFailures !== null &&
      `Pauses itself after ${plural(pauseAfterFailures, "failed run")} in a row.`,
  ].filter(Boolean);
}

/** What needs a look: failures in a row, and times without a run, as a list of phrases. */
export function troublesOf({ failures, skipped, missed }) {
  return [
    failures > 0 && `${count(failures)} failed in a row`,
    missed > 0 && `${count(missed)} missed`,
    skipped > 0 && `${count(skipped)} skipped`,
  ].filter(Boolean);
}

/** Whether a schedule has no times any more. */
export const isOver = ({ paused, next, queued }) => !paused && !next.length && !queued;

const ORDERS = {
  name: () => 0,
  next: (a, b) => dueOf(a) - dueOf(b),
  failures: (a, b) => b.failures - a.failures,
};
// Those that start nothing come last, also beside each other.
const dueOf = ({ dueAt }) => ms(dueAt) ?? Number.MAX_VALUE;

/** The schedules of a list by name, in another order, those that have a text in their name or workflow. */
export function shownSchedules(schedules, { find = "", sort = "name" }) {
  const wanted = find.toLowerCase();
  const fits = ({ name, start }) => `${name}\n${start.workflowName}`.toLowerCase().includes(wanted);
  return schedules.filter(fits).sort(ORDERS[sort] ?? ORDERS.name);
}
