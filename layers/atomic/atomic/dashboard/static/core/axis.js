// The time axis of a run: what it covers, and where a time stands on it. Long spans in which nothing is
// called are drawn short, with a mark. Pure, no DOM. Times are milliseconds since the epoch.

import { ms } from "./format.js";
import { isLive, nextOf } from "./timeline.js";

const TICKS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5,
  216e5, 432e5, 864e5,
];
const DAY_MS = 864e5;
// A span without calls is drawn short when it is so long, and so many times as long as all the rest.
const GAP_MIN_MS = 30_000;
const GAP_TIMES = 5;
const GAP_SHARE = 0.25;

/** What of the axis does not depend on the present time. */
export function extentOf({ root, steps }) {
  const from = ms(root.createdAt);
  const all = [root, ...steps];
  const busy = all.flatMap(busyOf).sort((a, b) => a[0] - b[0]);
  const to = busy.reduce((latest, [, end]) => Math.max(latest, end), from + 1);
  return { from, to, busy, isLive: all.some(isLive), isCalled: all.some(isCalled), next: nextTimes(all) };
}

const isCalled = (step) => step.status === "running";
const nextTimes = (steps) =>
  steps
    .map(nextOf)
    .filter(Boolean)
    .map(({ at }) => at);

/** When something of a step happened: it was posted, each attempt, and its end. */
function busyOf(step) {
  const created = ms(step.createdAt);
  const finished = ms(step.finishedAt);
  const spans = step.attemptLog.map((attempt) => [
    ms(attempt.startedAt),
    ms(attempt.endedAt ?? step.finishedAt ?? attempt.startedAt),
  ]);
  return [[created, created], ...spans, ...(finished ? [[finished, finished]] : [])];
}

/**
 * The axis at this moment: `{from, to, span, breaks}`. `zoom` is null, or the part of the axis to show as
 * `[from, to]` in times. A live run has some space at the end.
 */
export function axisOf(extent, now, zoom = null) {
  const { from } = extent;
  let { to } = extent;
  if (extent.isLive) {
    to = Math.max(to, now);
    const room = (to - from) * 0.3 + 1000;
    to = Math.max(to, ...extent.next.map((at) => Math.min(at, to + room)));
  }
  if (zoom) return withSpan({ from: zoom[0], to: zoom[1], breaks: [] });
  const breaks = breaksOf(extent, to, now);
  return withSpan({ from, to: to + (to - from - cutOf(breaks)) * 0.01, breaks });
}

const cutOf = (breaks) => breaks.reduce((sum, { from, to, drawn }) => sum + (to - from - drawn), 0);
const withSpan = (axis) => ({ ...axis, span: Math.max(1, axis.to - axis.from - cutOf(axis.breaks)) });

/** The long spans without calls. While something is called, the time until now is no such span. */
function breaksOf({ from, busy, isCalled }, to, now) {
  const gaps = [];
  let reached = from;
  for (const [start, end] of [...busy, [isCalled ? reached : to, to]]) {
    if (isCalled && start >= to) break;
    if (start - reached >= GAP_MIN_MS) gaps.push({ from: reached, to: start });
    reached = Math.max(reached, end);
  }
  const rest = to - from - gaps.reduce((sum, gap) => sum + gap.to - gap.from, 0);
  const least = Math.max(rest, 1000);
  return gaps
    .filter((gap) => gap.to - gap.from > GAP_TIMES * least)
    .map((gap) => ({ ...gap, drawn: least * GAP_SHARE, isOpen: gap.to >= now }));
}

/** Where a time stands, in milliseconds as they are drawn, counted from the beginning of the axis. */
export function offsetOf({ from, breaks }, time) {
  let offset = time - from;
  for (const gap of breaks) {
    if (time <= gap.from) break;
    const inside = Math.min(time, gap.to) - gap.from;
    offset -= inside - (inside / (gap.to - gap.from)) * gap.drawn;
  }
  return offset;
}

/** The positions of ticks: `{at, time}`, `at` as drawn, `time` since the beginning of the run. */
export function ticksOf(axis, wanted, began = axis.from) {
  const { span, breaks } = axis;
  const size = TICKS.find((tick) => span / tick <= wanted) ?? Math.ceil(span / wanted / DAY_MS) * DAY_MS;
  const ticks = [];
  for (let at = 0; at <= span; at += size) {
    const gap = breaks.find((each) => at > offsetOf(axis, each.from) && at < offsetOf(axis, each.to));
    if (!gap) ticks.push({ at, time: timeAt(axis, at) - began });
  }
  return ticks;
}

/** The time at a position of the axis, the opposite of `offsetOf`. */
export function timeAt({ from, breaks }, offset) {
  let time = from + offset;
  for (const gap of breaks) {
    if (time <= gap.from) break;
    time += gap.to - gap.from - gap.drawn;
  }
  return time;
}

/** Half of the axis, around the middle of what `step` did, or of the axis. */
export function nearer(axis, step, now) {
  const half = (axis.to - axis.from) / 4;
  const end = step && (step.finishedAt ? ms(step.finishedAt) : now);
  const middle = step ? (ms(step.createdAt) + end) / 2 : (axis.from + axis.to) / 2;
  return [middle - half, middle + half];
}
