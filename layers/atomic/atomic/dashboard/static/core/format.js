// Numbers, times and policies as people read them. Times are milliseconds since the epoch.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let clock;
let date;
let moment;

/** Show times in this zone; an empty text is the zone of the browser. */
export function setZone(zone) {
  const timeZone = zone || undefined;
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone };
  clock = new Intl.DateTimeFormat(undefined, time);
  date = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone });
  const whole = { dateStyle: "medium", timeStyle: "long", hourCycle: "h23", timeZone };
  moment = new Intl.DateTimeFormat(undefined, whole);
}

setZone("");

const number = new Intl.NumberFormat();
// Characters that reverse or hide the text beside them.
const UNSEEN = /[\u0000-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/**
 * Text on one line in which no character changes how the others are read. Keys and errors need it not: the
 * server refuses such characters in keys, and has spaces in place of them in what endpoints say.
 */
export const visible = (text) =>
  text.replace(UNSEEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

export const ms = (text) => (text === null || text === undefined ? null : Date.parse(text));
export const count = (value) => number.format(value);
export const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;
/** So many runs need action. */
export const needAction = (runs) => `${plural(runs, "run")} ${runs === 1 ? "needs" : "need"} action`;
export const capital = (word) => word[0].toUpperCase() + word.slice(1);
export const percent = (share) => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

/** A duration in two units at most: 8 ms, 1.24 s, 2 min 3 s, 4 h 5 min, 3 d 2 h. */
export function duration(value) {
  if (value === null || value === undefined) return "–";
  const span = Math.max(0, value);
  if (span < SECOND) return `${Math.round(span)} ms`;
  if (span < 10 * SECOND) return `${(span / SECOND).toFixed(2)} s`;
  if (span < MINUTE) return `${(span / SECOND).toFixed(1)} s`;
  if (span < HOUR) return two(span, MINUTE, "min", SECOND, "s");
  if (span < DAY) return two(span, HOUR, "h", MINUTE, "min");
  return two(span, DAY, "d", HOUR, "h");
}

/** A round duration without its zeros: 5 s, 1.5 s, 200 ms. */
export const roundDuration = (value) =>
  duration(value).replace(/(\.\d*?)0+ s$/, (_, rest) => `${rest === "." ? "" : rest} s`);

/** A duration that still grows: whole seconds, so that it changes once a second. */
export function ticking(value) {
  const span = Math.max(0, value);
  return span < MINUTE ? `${Math.floor(span / SECOND)} s` : duration(span);
}

function two(span, large, largeName, small, smallName) {
  const rest = Math.floor((span % large) / small);
  return `${Math.floor(span / large)} ${largeName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

export function ago(at, now) {
  const span = now - at;
  if (span < 5 * SECOND) return "just now";
  if (span < MINUTE) return `${Math.floor(span / SECOND)} s ago`;
  if (span < HOUR) return `${Math.floor(span / MINUTE)} min ago`;
  if (span < DAY) return `${Math.floor(span / HOUR)} h ago`;
  return `${date.format(at)}, ${clock.format(at)}`;
}

/** How long until a time: “in 4 min 3 s”. Rounded up, so that it is not now before it is. */
export const ahead = (at, now) => (at > now ? `in ${ticking(at - now + 999)}` : "now");

/** The zone in which times are shown. */
export const shownZone = () => moment.resolvedOptions().timeZone;

export const timeOfDay = (at) => clock.format(at);
export const fullTime = (at) => moment.format(at);
/** A time on an axis of this span, as short as the ticks allow. */
export function shortTime(at, span) {
  if (span > 4 * DAY) return date.format(at);
  if (span > DAY / 2) return `${date.format(at)}, ${clock.format(at).slice(0, 5)}`;
  return clock.format(at).slice(0, span > 10 * MINUTE ? 5 : 8);
}

/** Dollars, with enough digits for the cost of a run, which is far below a cent. */
export function dollars(usd) {
  return usd === 0 ? "$0" : `$${usd.toPrecision(2).includes("e") ? usd.toFixed(9) : usd.toPrecision(2)}`;
}

/** A retry policy as a sentence. */
export function retryInWords(retry, used) {
  if (retry.count === 0) return "No retries: one attempt, then it fails.";
  const times = retry.count === 1 ? "once" : `up to ${count(retry.count)} times`;
  const parts = [`Retried ${times}${delayInWords(retry)}.`];
  if (retry.jitter === "full")
    parts.push("Each delay is drawn at random between 0 and this time (full jitter).");
  else if (retry.jitter !== "none") parts.push(`Each delay is drawn by the jitter “${retry.jitter}”.`);
  if (retry.on) parts.push(`Only answers ${retry.on} are retried.`);
  if (retry.never) parts.push(`Answers ${retry.never} are never retried.`);
  parts.push(`${plural(used, "retry").replace("retrys", "retries")} used.`);
  return parts.join(" ");
}

// How the delays of a strategy grow. For a strategy that is not in this list, the page shows only its name.
const GROWTH = {
  exponential: ({ factor }) => `${factor} times as long each time`,
  linear: ({ backOff }) => `${duration(backOff)} longer each time`,
  fixed: () => null,
};

function delayInWords(retry) {
  const { strategy, backOff, maxBackOff } = retry;
  const first = duration(backOff);
  const most = `at most ${duration(maxBackOff)}`;
  if (!Object.hasOwn(GROWTH, strategy))
    return `, by the strategy “${strategy}” with a back-off of ${first}, ${most}`;
  if (backOff === 0) return ", at once";
  const growth = retry.count === 1 ? null : GROWTH[strategy](retry);
  if (growth === null) return `, ${first} after each failure`;
  return `, first after ${first}, then ${growth}, ${most}`;
}

/** An error in words, with what the server says about it, which may quote what somebody has sent. */
export const errorText = ({ message, detail = "" }) => visible(`${message}. ${detail}`);
