/**
 * The one spelling of a value, by which the server compares payloads: members sorted by code point, no white space,
 * numbers as Python writes them. So programs in two languages that post the same value post the same payload.
 */

import { type Spelling, writeJson } from "./json.ts";

const INTEGER_MIN = -(2n ** 63n);
const INTEGER_MAX = 2n ** 64n - 1n;
const CANONICAL: Spelling = { number, order: byCodePoint };

/** A value as canonical JSON. Throws SerializationError as `writeJson` does. */
export function canonicalJson(value: unknown, what?: string): string {
  return writeJson(value, what, CANONICAL);
}

function number(value: number): string {
  const whole = Number.isInteger(value) ? BigInt(value) : INTEGER_MAX + 1n;
  return whole >= INTEGER_MIN && whole <= INTEGER_MAX ? `${whole}` : asPythonWritesIt(value);
}

/**
 * A float by the shortest digits that give it back, in the form of Python's `repr`: an exponent of two digits
 * at least, below 1e-4 and from 1e16 on. JavaScript has the same digits, and changes the form elsewhere.
 */
function asPythonWritesIt(value: number): string {
  const [digits = "", exponent = ""] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power >= -4 && power < 16) {
    return String(value);
  }
  return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** Compare two texts as Python does, by code points: JavaScript's own order is that of UTF-16 units. */
function byCodePoint(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at++) {
    const [mine, theirs] = [one.charCodeAt(at), other.charCodeAt(at)];
    if (mine !== theirs) {
      return rank(mine) - rank(theirs);
    }
  }
  return one.length - other.length;
}

/** Surrogates come after all other units, since the characters that they make have larger code points. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
