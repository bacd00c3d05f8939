// Times that people type, by the clock that the page shows: UTC or that of the browser.

import { shownZone } from "./format.js";

const MINUTE = 60_000;
const isUtc = () => shownZone() === "UTC";

/** The clock by which times are typed, in words. */
export const typedClock = () => (isUtc() ? "UTC" : "local time");

/** What was typed by that clock, as an instant; undefined if it is no time. */
export const typedInstant = (text) => instantOf(text && isUtc() ? `${text}Z` : text);

/** The instant of a text with a zone, as the API wants it; undefined if it is no time. */
export function instantOf(text) {
  const at = text ? new Date(text) : null;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString() : undefined;
}

/** An instant as a field for times wants it: by that clock, without a zone. */
export function toType(text) {
  const instant = instantOf(text);
  if (!instant) return "";
  const at = new Date(instant);
  const behind = isUtc() ? 0 : at.getTimezoneOffset() * MINUTE;
  return new Date(at.getTime() - behind).toISOString().slice(0, 19);
}
