// What is read of schedules, and done to them.

const schedulePath = (name) => `/schedules/${encodeURIComponent(name)}`;

/** Requests about schedules, beside those of the client (`createApi`). */
export function schedulesOf({ request, read, post, allOf, base }) {
  return {
    /** All schedules by name: `{items, isAll}`. */
    schedules: (signal) => allOf("/schedules", "schedules", {}, signal),
    schedule: (name, signal) => read(schedulePath(name), {}, signal),
    /** The next times of a schedule, also of one that is paused. */
    nextTimes: async (name, query, signal) =>
      (await read(`${schedulePath(name)}/next`, query, signal)).next,
    pauseSchedule: (name, note) => post(`${schedulePath(name)}/pause`, { note }),
    resumeSchedule: (name) => post(`${schedulePath(name)}/resume`),
    /** Start a run of a schedule now; the same `once` starts no second one. */
    trigger: (name, once) =>
      post(`${schedulePath(name)}/trigger`, undefined, { extra: { "idempotency-key": once } }),
    /** A page of the times of a backfill; with `dryRun`, nothing is started. */
    backfill: (name, asked) => post(`${schedulePath(name)}/backfill`, asked),
    deleteSchedule: (name) => request("DELETE", `${base}${schedulePath(name)}`),
  };
}
