import { describe, expect, it } from "vitest";
import { parseWithBigint } from "../src/bigint.ts";
import { canonicalJson } from "../src/canonical.ts";
import { SerializationError } from "../src/errors.ts";
import { sha256 } from "../src/identity.ts";
import { parseJson, writeJson } from "../src/json.ts";
import { type CanonicalVectors, vectors } from "./vectors.ts";

const { values, malformed } = vectors<CanonicalVectors>("canonical-json");

describe("canonicalJson", () => {
  it.each(values)("writes $json as the server does", async ({ json, canonical, fingerprint }) => {
    const value = parseWithBigint(json);
    expect(canonicalJson(value)).toBe(canonical);
    expect(await sha256(canonicalJson(value))).toBe(fingerprint);
  });

  it.each(values)("writes $json with the same value where the spelling is free", ({ json }) => {
    expect(canonicalJson(parseWithBigint(writeJson(parseWithBigint(json))))).toBe(canonicalJson(parseWithBigint(json)));
  });

  it("reads its own output as the same value", () => {
    for (const { json } of values) {
      expect(canonicalJson(parseWithBigint(canonicalJson(parseWithBigint(json))))).toBe(
        canonicalJson(parseWithBigint(json)),
      );
    }
  });

  it("writes what has a form in JSON as JSON.stringify does", () => {
    const value = {
      at: new Date(0),
      left: undefined,
      kept: null,
      url: new URL("https://a.example/x"),
      boxed: Object("text"),
      own: { toJSON: () => 7 },
    };
    expect(canonicalJson(value)).toBe(
      '{"at":"1970-01-01T00:00:00.000Z","boxed":"text","kept":null,"own":7,"url":"https://a.example/x"}',
    );
  });

  it.each<[string, unknown, string]>([
    ["NaN", { price: Number.NaN }, "The value cannot be stored at .price: it is NaN; use null, or a string."],
    ["Infinity", [1, Number.NEGATIVE_INFINITY], "at [1]: it is -Infinity"],
    ["an integer beyond 64 bit", { id: 2n ** 64n }, "at .id: it is an integer beyond 64 bit"],
    ["a function", { send: () => 1 }, "at .send: it is a function"],
    ["a symbol", Symbol("x"), "is a symbol"],
    ["undefined in an array", [undefined], "at [0]: it is undefined"],
    ["undefined", undefined, "is undefined"],
    ["a Map", { a: { b: new Map() } }, "at .a.b: it is a Map"],
    ["a Set", new Set(), "is a Set"],
    ["bytes", new Uint8Array(2), "is a Uint8Array"],
    ["an error", { cause: new TypeError("x") }, "at .cause: it is a Error"],
    ["a promise", { user: Promise.resolve(1) }, "is an `await` missing?"],
    ["an invalid date", { at: new Date(Number.NaN) }, "at .at: it is an invalid Date"],
    ["half a character", { name: "\ud83d" }, "at .name: it holds half of a surrogate pair"],
    ["half a character in a name", { "\ude00": 1 }, "holds half of a surrogate pair"],
    ["65 levels", nested(65), "nested deeper than 64 levels"],
  ])("refuses %s", (_, value, why) => {
    expect(() => canonicalJson(value, "the payload of step 'mail'")).toThrow(SerializationError);
    expect(() => canonicalJson(value, "the payload of step 'mail'")).toThrow(/^The payload of step 'mail' /);
    expect(() => canonicalJson(value)).toThrow(why);
    expect(() => writeJson(value)).toThrow(why);
  });

  it("refuses a value that holds itself", () => {
    const value: { self?: unknown } = {};
    value.self = value;
    expect(() => canonicalJson(value)).toThrow("nested deeper than 64 levels");
  });
});

describe("parseJson", () => {
  it.each(["9007199254740993", '{"id": 18446744073709551615}', "[-9007199254740993]"])("refuses %s", (json) => {
    expect(() => parseJson(json)).toThrow(SerializationError);
    expect(() => parseJson(json)).toThrow("atomic-workflows/bigint");
  });

  it.each([
    "9007199254740991",
    '"9007199254740993"',
    "1234567890.1234567890",
    '{"12345678901234567890": 1}',
    "1.2345678901234567e+20",
    '"a\\"9007199254740993"',
  ])("reads %s", (json) => {
    expect(parseJson(json)).toEqual(JSON.parse(json));
  });
});

describe("parseWithBigint", () => {
  it("keeps every integer", () => {
    expect(parseWithBigint('{"id": 18446744073709551615, "n": [1, 2.5, -9007199254740993]}')).toEqual({
      id: 18446744073709551615n,
      n: [1, 2.5, -9007199254740993n],
    });
  });

  it.each(values)("reads $json as JSON.parse does where numbers can hold it", ({ json }) => {
    if (!/\d{16}/.test(json)) {
      expect(parseWithBigint(json)).toEqual(JSON.parse(json));
    }
  });

  it.each(malformed)("refuses %s", (json) => {
    expect(() => parseWithBigint(json)).toThrow(SyntaxError);
  });
});

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) {
    value = [value];
  }
  return value;
}
