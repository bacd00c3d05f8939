import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import table from "./table.json" with { type: "json" };

// How many cases each category of the suite has.
const COUNTS = [20, 5, 18, 19, 16, 13, 15, 22, 20, 7];

it("has every number of the suite, with one case or a reason", () => {
  const numbers = Object.values(table).map(({ covered, leftOut }) => {
    const all = [...Object.values(covered).flat(), ...Object.keys(leftOut).map(Number)];
    expect(Object.values<string>(leftOut).every((why) => why !== "")).toBe(true);
    return all.sort((one, other) => one - other);
  });
  expect(numbers).toEqual(COUNTS.map((count) => Array.from({ length: count }, (_, at) => at + 1)));
});

it("names each case that runs, and no other one", () => {
  const folder = new URL("./", import.meta.url);
  const run = readdirSync(folder)
    .filter((name) => name.endsWith(".test.ts"))
    .flatMap((name) => [...readFileSync(new URL(name, folder), "utf8").matchAll(/^\s*covers\("(.+)", async/gm)])
    .map(([, name]) => name);
  const named = Object.values(table).flatMap(({ covered }) => Object.keys(covered));
  expect(run.sort()).toEqual(named.sort());
});
