/** Durations: milliseconds, a text such as `"30s"`, or an object such as `{ days: 3 }`. */

import { RefusedError } from "./errors.ts";

/** A duration. A number is milliseconds; units of a text are `ms`, `s`, `m`, `h`, `d`. */
export type Duration =
  | number
  | `${number}${"ms" | "s" | "m" | "h" | "d"}`
  | {
      readonly days?: number;
      readonly hours?: number;
      readonly minutes?: number;
      readonly seconds?: number;
      readonly ms?: number;
    };

const [S, M, H, D] = [1000, 60_000, 3_600_000, 86_400_000];
const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: S,
  seconds: S,
  m: M,
  minutes: M,
  h: H,
  hours: H,
  d: D,
  days: D,
};

/** A duration as whole milliseconds. Throws RefusedError (`invalid-request`) that names the option. */
export function milliseconds(option: string, duration: Duration): number {
  const total = Math.round(counted(duration));
  if (!Number.isSafeInteger(total) || total < 0) {
    // JSON has no NaN.
    const given = typeof duration === "number" ? duration : JSON.stringify(duration);
    const detail = `${option}: ${given} is no duration; use ms, "30s", or { minutes: 5 }.`;
    throw new RefusedError("invalid-request", detail, 400);
  }
  return total;
}

function counted(duration: Duration): number {
  if (typeof duration === "number") {
    return duration;
  }
  if (typeof duration === "string") {
    const [, count, unit] = /^([\d.]+)(ms|[smhd])$/.exec(duration) ?? [];
    return Number(count) * (UNITS[unit ?? ""] ?? Number.NaN);
  }
  const parts = Object.entries(duration ?? {}).map(([name, count]) => count * (UNITS[name] ?? Number.NaN));
  return parts.length === 0 ? Number.NaN : parts.reduce((sum, part) => sum + part);
}
