// What is read of open events.

import { runPath } from "./api.js";
import { LIVE } from "./enums.js";
import { cursorOf } from "./paging.js";

const STEPS_PAGE = 1000;

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
      return { events, next: cursorOf(list.next) };
    },
  };
}
