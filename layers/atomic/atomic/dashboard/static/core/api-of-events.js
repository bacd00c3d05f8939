// What is read of open events.

import { runPath } from "./api.js";
import { LIVE } from "./enums.js";
import { ms } from "./format.js";
import { cursorOf } from "./paging.js";

const STEPS_PAGE = 1000;
// Of the steps of a run.
const PAGES_MAX = 5;

/** The one that ends soonest first; behind them those without an end, the oldest first. */
function byDeadline({ event: a }, { event: b }) {
  const [endA, endB] = [a, b].map(({ deadlineAt }) => ms(deadlineAt) ?? Number.POSITIVE_INFINITY);
  if (endA !== endB) return endA < endB ? -1 : 1;
  return ms(a.createdAt) - ms(b.createdAt);
}

const isOpen = ({ kind, status }) => kind === "event" && LIVE.includes(status);

/** Requests about open events, beside those of the client (`createApi`). */
export function eventsOf({ read, allOf }) {
  /** The open events among the first steps of a run, and after how many `steps` the reading ended. */
  async function readOne({ runId }, signal) {
    const query = { limit: STEPS_PAGE };
    const { root, items, isAll } = await allOf(runPath(runId), "steps", query, signal, PAGES_MAX);
    return { root, events: items.filter(isOpen), steps: items.length, isAll };
  }

  return {
    /**
     * The live events of a page of runs that have some: `events`. `beyond` has the runs of which not all
     * steps were read. `isLarge`: a run has more than one page of steps.
     */
    openEvents: async (query, signal) => {
      const list = await read("/runs", { ...query, waitsFor: "event" }, signal);
      const found = await Promise.all(list.runs.map((run) => readOne(run, signal)));
      const events = found.flatMap((run) => run.events.map((event) => ({ event, root: run.root })));
      const beyond = found.filter(({ isAll }) => !isAll);
      const isLarge = found.some(({ steps }) => steps > STEPS_PAGE);
      return { events: events.sort(byDeadline), beyond, isLarge, next: cursorOf(list.next) };
    },
  };
}
