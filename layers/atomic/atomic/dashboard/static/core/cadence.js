// When a schedule runs, in words. An expression that would need a long sentence is shown as it is.

import { capital, count, fullTime, ms, plural } from "./format.js";

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
  ["ms", 1],
];
const ALIASES = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const ORDINALS = ["first", "second", "third", "fourth", "fifth"];
// More times of a day than this are no sentence.
const TIMES_MAX = 4;

/** A duration with all of its units: 1 d 2 h 3 s. */
export function wholeDuration(value) {
  let rest = value;
  const parts = UNITS.map(([name, size]) => {
    const number = Math.floor(rest / size);
    rest -= number * size;
    return number && `${count(number)} ${name}`;
  });
  return parts.filter(Boolean).join(" ") || "0 s";
}

/** When a schedule runs: `{text, code}`, where `code` are the cron expressions. */
export function whenInWords({ cron, every, phase, at, timeZone }) {
  if (every !== null) {
    const later = phase ? `, ${wholeDuration(phase)} later` : "";
    return { text: `Every ${wholeDuration(every)}${later}`, code: "" };
  }
  if (at !== null) {
    const text = at.length === 1 ? `Once: ${fullTime(ms(at[0]))}` : `At ${plural(at.length, "time")}`;
    return { text, code: "" };
  }
  const code = cron.join(" · ");
  const said = cron.map(cronInWords);
  if (said.includes(null)) return { text: `By an expression, ${timeZone}`, code };
  return { text: capital(`${said.join("; ")}, ${timeZone}`), code };
}

/** A cron expression as a phrase; null for one that is no short phrase. */
export function cronInWords(expression) {
  const whole = ALIASES[expression.trim().toLowerCase()] ?? expression;
  const [minute, hour, day, month, weekday, ...more] = whole.trim().toUpperCase().split(/\s+/);
  if (weekday === undefined || more.length) return null;
  const days = daysInWords(day, weekday);
  const months = isAny(month) ? "" : listed(month, monthName);
  if (days === null || months === null) return null;
  const when = months && `in ${months}`;
  const times = timesInWords(minute, hour);
  if (times) return [days || "every day", when, times].filter(Boolean).join(" ");
  const pace = paceInWords(minute, hour);
  return pace && [pace, days, when].filter(Boolean).join(", ");
}

const isAny = (field) => field === "*" || field === "?";
const isNumber = (field) => /^\d{1,2}$/.test(field);
const two = (number) => String(Number(number)).padStart(2, "0");
const joined = (words) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

/** “at 08:00 and 20:00”, for minutes and hours that are numbers. */
function timesInWords(minute, hour) {
  const [minutes, hours] = [minute.split(","), hour.split(",")];
  if (![...minutes, ...hours].every(isNumber) || minutes.length * hours.length > TIMES_MAX) return null;
  const times = hours.flatMap((each) => minutes.map((at) => `${two(each)}:${two(at)}`));
  return `at ${joined([...new Set(times)].sort())}`;
}

/** “every 15 minutes from 08:00 to 17:45”, for hours or minutes that go on and on. */
function paceInWords(minute, hour) {
  const step = isAny(minute) ? 1 : stepOf(minute, 60);
  const range = /^(\d{1,2})-(\d{1,2})$/.exec(hour);
  const every = step === 1 ? "every minute" : `every ${step} minutes`;
  if (range) {
    const [, from, to] = range;
    if (step) return `${every} from ${two(from)}:00 to ${two(to)}:${two(60 - step)}`;
    if (isNumber(minute)) return `every hour from ${two(from)}:${two(minute)} to ${two(to)}:${two(minute)}`;
    return null;
  }
  if (isAny(hour) && step) return every;
  const hours = isAny(hour) ? 1 : stepOf(hour, 24);
  if (!hours || !isNumber(minute)) return null;
  const at = Number(minute) ? ` at minute ${Number(minute)}` : "";
  return `every ${hours === 1 ? "hour" : `${hours} hours`}${at}`;
}

/** The step of `STAR/n`, if it divides the whole, so that the pace never changes; else null. */
function stepOf(field, whole) {
  const [, step] = /^\*\/(\d{1,2})$/.exec(field) ?? [];
  return step && Number(step) && whole % Number(step) === 0 ? Number(step) : null;
}

/** “Monday to Friday”; empty for each day, null where two fields are given, or no phrase says it. */
function daysInWords(day, weekday) {
  if (isAny(day)) return isAny(weekday) ? "" : listed(weekday, weekdayName);
  if (!isAny(weekday)) return null;
  if (day === "L") return "on the last day of the month";
  const named = listed(day, (each) => (isNumber(each) ? String(Number(each)) : null));
  return named && `on day ${named} of the month`;
}

/** A list of single values and ranges in words; null if one of them has no name. */
function listed(field, nameOf) {
  const words = field.split(",").map((item) => {
    const ends = item.split("-").map(nameOf);
    return ends.includes(null) || ends.length > 2 ? null : ends.join(" to ");
  });
  return words.includes(null) ? null : joined(words);
}

function monthName(text) {
  if (isNumber(text)) return MONTHS[Number(text) - 1] ?? null;
  return MONTHS.find((each) => each.slice(0, 3).toUpperCase() === text) ?? null;
}

function weekdayName(text) {
  const [, day, nth = ""] = /^(\d|[A-Z]{3})(L|#[1-5])?$/.exec(text) ?? [];
  const name = isNumber(day ?? "") ? DAYS[Number(day) % 7] : DAYS.find((each) => shortDay(each) === day);
  if (!name || Number(day) > 7) return null;
  if (!nth) return name;
  return `the ${nth === "L" ? "last" : ORDINALS[Number(nth[1]) - 1]} ${name} of the month`;
}

const shortDay = (name) => name.slice(0, 3).toUpperCase();
