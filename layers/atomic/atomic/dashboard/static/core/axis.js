// The time axis of a run: what it covers, and where a time stands on it. Long spans in which nothing is
// called are drawn short, with a mark. Pure, no DOM. Times are milliseconds since the epoch.

import { duration, ms } from "./format.js";
import { isLive, nextOf, segmentsOf } from "./timeline.js";

const TICKS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5,
  216e5, 432e5, 864e5,
];
const DAY_MS = 864e5;
// A span without calls is drawn short when it is so long, and so many times as long as all the rest.
const GAP_MIN_MS = 30_000;
const GAP_TIMES = 5;
const GAP_SHARE = 0.3;
const ZOOM_MIN_MS = 10;

/** What of the axis does not depend on the present time. */
export function extentOf({ root, steps }) {
  const from = ms(root.createdAt);
  const all = [root, ...steps];
  const busy = all.flatMap(busyOf).sort((a, b) => a.from - b.from);
  const to = busy.reduce((latest, span) => Math.max(latest, span.to), from + 1);
  const isCalled = all.some(({ status }) => status === "running");
  const next = all.flatMap((step) => nextOf(step, root)?.at ?? []);
  return { from, to, busy, isLive: all.some(isLive), isCalled, next };
}

/** From when to when a step was live. */
export const spanOf = (step, now) => ({ from: ms(step.createdAt), to: ms(step.finishedAt) ?? now });

/** When something of a step happened: it was posted, each attempt, and its end (0 while it is live). */
function busyOf(step) {
  const { from, to } = spanOf(step, 0);
  const calls = segmentsOf(step, 0).filter(({ attempt }) => attempt);
  return [{ from, to: from }, ...calls, { from: to, to }];
}

/**
 * The axis at this moment: `{from, to, until, span, breaks}`. `zoom` is null, or the part of the axis to
 * show as `[from, to]` in times. What begins after `until` is not shown; without a zoom there is no such
 * time. A live run has some space at the end.
 */
export function axisOf(extent, now, zoom) {
  let { from, to } = extent;
  if (extent.isLive) {
    to = Math.max(to, now);
    const room = (to - from) * 0.3 + 1000;
    to = Math.max(to, ...extent.next.map((at) => Math.min(at, to + room)));
  }
  const breaks = zoom ? [] : breaksOf(extent, to, now);
  const cut = breaks.reduce((sum, gap) => sum + gap.to - gap.from - gap.drawn, 0);
  to += (to - from - cut) * 0.01;
  if (zoom) [from, to] = zoom;
  const span = Math.max(1, to - from - cut);
  return { from, to, until: zoom ? to : Number.POSITIVE_INFINITY, span, breaks };
}

/** The long spans without calls. While something is called, the time until now is no such span. */
function breaksOf({ from, busy, isCalled }, to, now) {
  const gaps = [];
  let reached = from;
  for (const span of [...busy, { from: isCalled ? reached : to, to }]) {
    if (isCalled && span.from >= to) break;
    if (span.from - reached >= GAP_MIN_MS) gaps.push({ from: reached, to: span.from });
    reached = Math.max(reached, span.from, span.to);
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

/** Whether a span of time is on the axis, at least partly. */
export const isOn = (axis, { from, to }) => to >= axis.from && from <= axis.until;

/** `before` or `after`, when these steps were live on that side of the axis alone; else an empty text. */
export function sideOf(axis, steps, now) {
  const spans = steps.map((step) => spanOf(step, now));
  if (spans.some((span) => isOn(axis, span))) return "";
  return spans[0].to < axis.from ? "before" : "after";
}

/** The ticks, which stand at round times since the run `began`: `{at, text}`, `at` as drawn. */
export function ticksOf(axis, wanted, began) {
  const { span, breaks } = axis;
  const size = TICKS.find((tick) => span / tick <= wanted) ?? Math.ceil(span / wanted / DAY_MS) * DAY_MS;
  const roundUp = (time) => began + Math.ceil((time - began) / size) * size;
  const ticks = [];
  let time = roundUp(axis.from);
  while (offsetOf(axis, time) <= span) {
    const gap = breaks.find(({ from, to }) => time > from && time < to);
    if (!gap) ticks.push({ at: offsetOf(axis, time), text: tickText(time - began, size) });
    time = Math.max(time + size, gap ? roundUp(gap.to) : 0);
  }
  return ticks;
}

/** The time of a tick, in words if they are exact, so that the next one, `size` later, has others. */
function tickText(time, size) {
  if (time < 1e3) return time ? `${time} ms` : "0";
  const exact = time < 6e4 ? DAY_MS : time < 36e5 ? 1e3 : time < DAY_MS ? 6e4 : 36e5;
  return size < exact ? `${time / 1e3} s` : duration(time);
}

/**
 * What a zoom shows: first what the chosen step did, with as much time before and after it, then half of
 * the `zoom` before, around the middle of the step. No time before or after the run is shown.
 */
export function nearer(extent, zoom, chosen, now) {
  const whole = axisOf(extent, now);
  const step = spanOf(chosen, now);
  const before = zoom ?? [whole.from, whole.to];
  const half = (before[1] - before[0]) / 2;
  const wanted = Math.max(ZOOM_MIN_MS, zoom ? half : Math.min(half, (step.to - step.from) * 3));
  const size = Math.min(wanted, whole.to - whole.from);
  const from = Math.max(whole.from, Math.min((step.from + step.to - size) / 2, whole.to - size));
  return [from, from + size];
}
