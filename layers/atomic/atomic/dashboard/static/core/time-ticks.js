// The ticks of a chart's time axis: round times of the zone that is shown. Pure, no DOM. Times are
// milliseconds since the epoch.

import { shortTime, timeOfDay } from "./format.js";

const MINUTE = 60e3;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((number) => number * MINUTE),
  ...[1, 2, 3, 6, 12].map((number) => number * HOUR),
  ...[1, 2, 7].map((number) => number * DAY),
];

/** At most so many round times from `from` on and before `to`: `{at, text}`. Midnight has the date. */
export function timeTicks(from, to, most) {
  const step = STEPS.find((each) => (to - from) / each <= most) ?? STEPS.at(-1);
  const round = Math.min(step, DAY);
  const ticks = [];
  let at = from + toNext(from, round);
  while (at < to) {
    ticks.push({ at, text: shortTime(at, pastMidnight(at) ? 0.4 * DAY : 5 * DAY) });
    // Where clocks are changed, the next round time is earlier or later; at least half of a step is left.
    const next = at + step - round / 2;
    at = next + toNext(next, round);
  }
  return ticks;
}

/** How long until the clock shows a round time; nothing, if it does. */
const toNext = (at, round) => (round - (pastMidnight(at) % round)) % round;

function pastMidnight(at) {
  const [hours, minutes] = timeOfDay(at).split(":").map(Number);
  return hours * HOUR + minutes * MINUTE;
}
