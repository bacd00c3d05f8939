/** JSON in and out of this program: what JSON would drop or change is refused, and not sent. */

import { SerializationError } from "./errors.ts";

/** How values with several spellings are written: numbers, and the order of members. */
export interface Spelling {
  readonly number: (value: number) => string;
  /** Left out: members stay in their order. */
  readonly order?: (one: string, other: string) => number;
}

interface Place {
  readonly what: string;
  readonly path: string;
  readonly depth: number;
  readonly spelling: Spelling;
}

const DEPTH_MAX = 64;
const HALF_A_CHARACTER = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/**
 * Write a value as JSON. `what` names it in messages.
 *
 * `toJSON` is asked as `JSON.stringify` asks it, so a `Date` becomes its ISO text. Members that are `undefined` are
 * left out. A `bigint` is written as an integer. Everything that JSON would drop or change is refused with its path:
 * functions, symbols, `Map`, `Set`, NaN, half a character, integers beyond 64 bit, more than 64 levels, `undefined` in
 * an array. Throws SerializationError.
 */
export function writeJson(value: unknown, what = "the value", spelling: Spelling = { number: plain }): string {
  const at = { what, path: "", depth: 0, spelling };
  return written(value, at, "") ?? refuse(at, "is undefined; use null");
}

/** JavaScript writes floats from 1e18 to 1e21 as integers, which may be beyond 64 bit. */
function plain(value: number): string {
  return Math.abs(value) < 1e18 ? `${value}` : value.toExponential();
}

function refuse(at: Place, why: string): never {
  const where = at.path && ` at ${at.path}`;
  throw new SerializationError(
    `${at.what.charAt(0).toUpperCase()}${at.what.slice(1)} cannot be stored${where}: it ${why}.`,
  );
}

function written(given: unknown, at: Place, name: string): string | undefined {
  const asked = given as { toJSON?: (name: string) => unknown } | null | undefined;
  const value = typeof asked?.toJSON === "function" ? asked.toJSON(name) : given;
  switch (typeof value) {
    case "string":
      return text(value, at);
    case "number":
      return Number.isFinite(value) ? at.spelling.number(value) : refuse(at, `is ${value}; use null, or a string`);
    case "bigint":
      return BigInt.asIntN(64, value) === value || BigInt.asUintN(64, value) === value
        ? `${value}`
        : refuse(at, "is an integer beyond 64 bit; use a string");
    case "boolean":
      return `${value}`;
    case "undefined":
      return undefined;
    case "object":
      if (value !== null) {
        return container(value, at);
      }
      return given instanceof Date ? refuse(at, "is an invalid Date") : "null";
    default:
      return refuse(at, `is a ${typeof value}`);
  }
}

function container(value: object, at: Place): string {
  if (at.depth === DEPTH_MAX) {
    refuse(at, `is nested deeper than ${DEPTH_MAX} levels`);
  }
  const below = (part: string): Place => ({ ...at, path: at.path + part, depth: at.depth + 1 });
  if (Array.isArray(value)) {
    const items = Array.from(value, (item: unknown, index) => {
      const inside = below(`[${index}]`);
      return written(item, inside, `${index}`) ?? refuse(inside, "is undefined; use null");
    });
    return `[${items}]`;
  }
  // Map, Set, Error, bytes and others have names of their own; JSON.stringify would write {} for most of them.
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (kind === "Number" || kind === "String" || kind === "Boolean") {
    return written(value.valueOf(), at, "") as string;
  }
  if (kind !== "Object") {
    refuse(at, `is a ${kind}, which JSON does not have${kind === "Promise" ? "; is an `await` missing?" : ""}`);
  }
  const names = Object.keys(value);
  const members = (at.spelling.order ? names.sort(at.spelling.order) : names).map((name) => {
    const member = written((value as Record<string, unknown>)[name], below(`.${name}`), name);
    return member && `${text(name, at)}:${member}`;
  });
  return `{${members.filter(Boolean)}}`;
}

function text(value: string, at: Place): string {
  return HALF_A_CHARACTER.test(value) ? refuse(at, "holds half of a surrogate pair") : JSON.stringify(value);
}

/**
 * Read JSON as `JSON.parse` does, except that an integer that a number cannot hold exactly is refused.
 *
 * Such integers (`2^53` and beyond) come from other languages. Import `atomic-workflows/bigint` to read them as
 * `bigint`.
 */
export function parseJson(source: string): unknown {
  if (/\d{16}/.test(source)) {
    refuseInexact(source);
  }
  return JSON.parse(source);
}

function refuseInexact(source: string): void {
  for (const [token] of source.replace(/"(?:[^"\\]|\\.)*"/gs, '""').matchAll(/-?\d+(?![\d.eE])(?<![.eE+][+-]?\d*)/g)) {
    if (!Number.isSafeInteger(Number(token))) {
      throw new SerializationError(`The answer holds ${token}, beyond 2^53: read it with atomic-workflows/bigint.`);
    }
  }
}
