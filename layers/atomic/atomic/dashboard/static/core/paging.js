// The pages of a list that was opened: which ones came before, and new rows that are held back.

import { ms } from "./format.js";

/** The cursor of a `next` of the API; null at the end. */
export const cursorOf = (next) => next && new URLSearchParams(next.split("?")[1]).get("cursor");

const filtersOnly = ({ cursor, ...filters }) => JSON.stringify(filters);

/**
 * The pages before the one of this query, as `{cursor, count}`; null when they are not known, such as after
 * a reload. `before` is the page that was shown until now.
 */
export function pagesBefore(query, before) {
  const cursor = query.cursor ?? "";
  if (!cursor) return [];
  if (!before?.trail || filtersOnly(before.query) !== filtersOnly(query)) return null;
  const shown = before.query.cursor ?? "";
  if (shown === cursor) return before.trail;
  if (before.next === cursor) return [...before.trail, { cursor: shown, count: before.runs.length }];
  const at = before.trail.findIndex((page) => page.cursor === cursor);
  return at < 0 ? null : before.trail.slice(0, at);
}

const times = (runs) => runs.map((run) => ms(run.createdAt));

/** The runs that would move those that are shown: new ones, and older ones that have begun to fit. */
export function heldBack(runs, shown) {
  const known = new Set(shown.map((run) => run.runId));
  const oldest = Math.min(...times(shown));
  return runs.filter((run) => !known.has(run.runId) && ms(run.createdAt) > oldest);
}

/** Just after the newest of the runs that are shown was created. */
export const justAfter = (shown) => new Date(Math.max(...times(shown)) + 1).toISOString();
