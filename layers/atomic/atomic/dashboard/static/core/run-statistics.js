// The numbers of the overview, from the counters of the server: pure arithmetic, no DOM.

import { ms } from "./format.js";

const MINUTE = 60e3;
const HOUR = 60 * MINUTE;
/** The times that can be chosen: name, label, how long each is, and how long a bar. */
export const TIMES = [
  ["1h", "last hour", HOUR, MINUTE],
  ["6h", "last 6 hours", 6 * HOUR, 5 * MINUTE],
  ["24h", "last 24 hours", 24 * HOUR, HOUR],
  ["7d", "last 7 days", 7 * 24 * HOUR, 6 * HOUR],
  ["30d", "last 30 days", 30 * 24 * HOUR, 24 * HOUR],
];
// The server counts spans of so many minutes, and of whole hours.
const MINUTES = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30];
const CHOSEN = "24h";
const SPARKS_MIN = 4;
const SPARKS_MAX = 24;
// As many counters as the page reads for the small bars of all workflows.
const COUNTERS_MAX = 1000;

/** The time of a choice: `{from, to, every}`. It begins with a whole bar, so it is longer than it says. */
export function timeOf(period, now) {
  const [name, label, length, every] = TIMES.find(([known]) => known === period) ?? timeNamed(CHOSEN);
  const from = Math.floor((now - length) / every) * every;
  return { name, label, from, to: Math.ceil((now + 1) / every) * every, every };
}

/** The time in bars of another length: a server that counts by the hour answers no minutes. */
export function timeBy(every, time) {
  const from = Math.floor(time.from / every) * every;
  return { ...time, from, to: Math.ceil(time.to / every) * every, every, isCoarse: every > time.every };
}

/** How long a small bar is for so many workflows: the more there are, the fewer bars each of them has. */
export function sparkEveryOf({ from, to, every }, workflows) {
  const fitting = Math.floor(COUNTERS_MAX / Math.max(1, workflows)) - 1;
  const wanted = Math.min(SPARKS_MAX, Math.max(SPARKS_MIN, fitting));
  const least = (to - from) / wanted;
  const minutes = MINUTES.find((each) => each * MINUTE >= least && (each * MINUTE) % every === 0);
  if (minutes) return minutes * MINUTE;
  const unit = Math.max(every, HOUR);
  return Math.ceil(least / unit) * unit;
}

const timeNamed = (wanted) => TIMES.find(([name]) => name === wanted);

const rateOf = ({ succeeded, failed }) => (succeeded + failed ? failed / (succeeded + failed) : null);

const NONE = { started: 0, succeeded: 0, failed: 0, cancelled: 0, live: 0, retries: 0 };

/** A bar for each span of the time, also where nothing was started: `{from, to}` and its numbers. */
export function bucketsOf(counters, { from, to, every }) {
  const known = new Map(counters.map((each) => [ms(each.beganAt), each]));
  return Array.from({ length: Math.round((to - from) / every) }, (_, at) => {
    const began = from + at * every;
    const found = known.get(began);
    const numbers = found ?? NONE;
    return {
      ...numbers,
      from: began,
      to: began + every,
      others: numbers.live + numbers.cancelled,
      rate: rateOf(numbers),
      p50: found?.durationMsP50 ?? null,
      p95: found?.durationMsP95 ?? null,
    };
  });
}

/** The sums of the bars of a time. */
export function totalOf(buckets) {
  const sum = (name) => buckets.reduce((all, bucket) => all + bucket[name], 0);
  const total = Object.fromEntries(Object.keys(NONE).map((name) => [name, sum(name)]));
  return { ...total, rate: rateOf(total), p95: Math.max(...buckets.map(({ p95 }) => p95 ?? -1)) };
}

/** The workflows that ran in the time, with their starts over it, in an order of `sorted`. */
export function workflowsOf(workflows, { items, spanMs: every, isAll }, { from, to }, sort) {
  const first = Math.floor(from / every) * every;
  const length = Math.ceil((to - first) / every);
  const bars = new Map();
  // Of counters that were not all read, the bars would show too little.
  for (const { workflowName, beganAt, started, failed } of isAll ? items : []) {
    if (!bars.has(workflowName)) bars.set(workflowName, Array.from({ length }, () => [0, 0]));
    const at = Math.round((ms(beganAt) - first) / every);
    if (at >= 0 && at < length) bars.get(workflowName)[at] = [started, failed];
  }
  const rows = workflows
    .filter((each) => each.started || each.live)
    .map((each) => ({
      ...each,
      rate: rateOf(each),
      p50: each.durationMsP50,
      p95: each.durationMsP95,
      bars: bars.get(each.workflowName) ?? [],
    }));
  return sorted(rows, sort);
}

/** Rows in the order of a column; with a minus before its name, the other way. Unknown values are last. */
export function sorted(rows, sort) {
  const name = sort.replace("-", "");
  const way = sort.startsWith("-") ? -1 : 1;
  const compared = (a, b) =>
    typeof a === "string" ? (a < b ? -1 : Number(a > b)) * way : (b - a) * way;
  const known = (row) => row[name] !== null && row[name] !== undefined;
  const ordered = rows.filter(known).sort((a, b) => compared(a[name], b[name]));
  return [...ordered, ...rows.filter((row) => !known(row))];
}

/** When the newest of these was counted; null where counters are exact. */
export function countedAt(counters) {
  const times = counters.map((each) => each.countedAt).filter(Boolean);
  return times.length ? Math.max(...times.map(ms)) : null;
}
