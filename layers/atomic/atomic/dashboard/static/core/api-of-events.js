// What is read of open events.

import { runPath } from "./api.js";
import { LIVE } from "./enums.js";
import { ms } from "./format.js";
import { cursorOf } from "./paging.js";

const STEPS_PAGE = 1000;

/** The one that ends soonest first; behind them those without an end, the oldest first. */
function byDeadline({ event: a }, { event: b }) {
  const [endA, endB] = [a, b].map(({ deadlineAt }) => ms(deadlineAt) ?? Number.POSITIVE_INFINITY);
  if (endA !== endB) return endA < endB ? -1 : 1;
  return ms(a.createdAt) - ms(b.createdAt);
}

/** Requests about open events, beside those of the client (`createApi`). */
export function eventsOf({ read }) {
  return {
    /** The live events of a page of runs that have some. Each run is read, up to its first steps. */
    openEvents: async (query, signal) => {
      const list = await read("/runs", { ...query, waitsFor: "event" }, signal);
      const readOne = ({ runId }) => read(runPath(runId), { limit: STEPS_PAGE }, signal);
      const found = await Promise.all(list.runs.map(readOne));
      const events = found.flatMap(({ root, steps }) =>
        steps
          .filter(({ kind, status }) => kind === "event" && LIVE.includes(status))
          .map((event) => ({ event, root })),
      );
      return { events: events.sort(byDeadline), next: cursorOf(list.next) };
    },
  };
}
