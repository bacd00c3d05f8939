// Times by the clocks of several zones. Times are milliseconds since the epoch.

const MINUTE = 60_000;
const FAR = 300 * 24 * 60 * MINUTE;
const zoned = new Map();

/**
 * A time with its day of the week by the clock of a zone, and its year if it is far from now; null if the
 * browser does not know the zone.
 */
export function timeIn(zone, at, now) {
  const isFar = Math.abs(at - now) > FAR;
  const hasSeconds = at % MINUTE !== 0;
  const name = `${zone} ${isFar} ${hasSeconds}`;
  if (!zoned.has(name)) zoned.set(name, formatOf(zone, { isFar, hasSeconds }));
  return zoned.get(name)?.format(at) ?? null;
}

function formatOf(timeZone, { isFar, hasSeconds }) {
  const year = isFar ? "numeric" : undefined;
  const second = hasSeconds ? "2-digit" : undefined;
  const day = { weekday: "short", year, month: "short", day: "numeric" };
  const time = { hour: "2-digit", minute: "2-digit", second, hourCycle: "h23" };
  try {
    return new Intl.DateTimeFormat(undefined, { ...day, ...time, timeZone });
  } catch {
    return null;
  }
}
