/**
 * A call for each of many items (9-1 to 9-20).
 *
 * 9-12: items have no records of their own, so there is no other nesting. 9-19, 9-20: the result of a batch is not kept,
 * since those of its items are; a value keeps it.
 */

import { expect } from "vitest";
import type { Call, Context } from "../../src/index.ts";
import { POLICIES, started, summary } from "./policies.ts";
import { covers, Stage, Wrapped } from "./stage.ts";

const stage = new Stage("ts-case-maps", 300);
const { app } = stage;
const give = app.step("give", (text: string) => stage.note(text));
const good = app.step("good", (text: string) => {
  stage.note(text);
  if (text.startsWith("bad")) throw new RangeError(`no ${text}`);
  return text;
});

{
  const hello = app.step("hello", (name: string) => `Hello, ${stage.note(name)}!`);
  const double = app.step("double", (value: number) => 2 * value);
  const sum = app.step("sum", ([index, value]: [number, number]) => index + value);
  const slow = app.step("slow", (text: string, call: Call) => {
    if (text === "r0" && call.attempt === 1) throw new TypeError("not yet");
    return text;
  });
  const large = app.step("large", (letter: string) => letter.repeat(70_000));
  const flow = app.workflow("in-order", async (ctx, _: null) => {
    const one = await ctx.map(["World", "Kiro"], hello, { concurrency: 1, name: "map" });
    const two = await ctx.map([1, 2], double, { concurrency: 1 });
    const indexed = await ctx.map([10, 20, 30], (own, value, index) => own.step(sum, [index, value]), {
      concurrency: 1,
    });
    const none = await ctx.map([], hello);
    const sideBySide = await ctx.map(["r0", "r1", "r2"], slow, { concurrency: 2, retry: { backOff: 20 } });
    const long = await ctx.map(["a", "b", "c", "d"], large, { concurrency: 1 });
    await ctx.sleep(50);
    const found = [one, two, indexed, none, sideBySide].map((batch) => batch.results());
    return [...found, none.endedBy, long.results().map(({ length }) => length)];
  });

  covers("a map has results in the order of its items", async () => {
    const run = await stage.begin(flow, null);
    expect(await stage.end(run)).toEqual([
      ["Hello, World!", "Hello, Kiro!"],
      [2, 4],
      [10, 21, 32],
      [],
      ["r0", "r1", "r2"],
      "all_completed",
      [70_000, 70_000, 70_000, 70_000],
    ]);
    expect([stage.count("World"), stage.count("Kiro")]).toEqual([1, 1]);
    expect((await stage.names(run)).filter((name) => name?.startsWith("map "))).toHaveLength(2);
  });
}

{
  const taken = ["failFast", "enough", "tolerated", "exceeded", "share"] as const;
  const flow = app.workflow("by-policy", async (ctx, name: (typeof taken)[number]) => {
    const { items, options } = POLICIES[name];
    const batch = await ctx.map(items, good, { retry: 0, concurrency: 1, ...options });
    await ctx.sleep(50);
    return summary(batch);
  });

  covers("a map ends by its policy", async () => {
    for (const name of taken) {
      stage.noted.length = 0;
      expect(await stage.result(flow, name), name).toEqual(POLICIES[name].ends);
      expect(stage.noted, name).toEqual(started(POLICIES[name]));
    }
  });
}

{
  const flow = app.workflow("thrown", async (ctx, items: string[]) =>
    (await ctx.map(items, good, { retry: 0, concurrency: 1, toleratedFailures: 0 })).results(),
  );

  covers("a map throws the error of its first failure", async () => {
    stage.noted.length = 0;
    expect((await stage.failure(await stage.begin(flow, ["bad1", "z"]))).message).toContain("no bad1");
    expect(stage.noted).toEqual(["bad1"]);
  });
}

{
  const times10 = app.step("times10", (value: number) => 10 * value);
  const flow = app.workflow("named", async (ctx, items: number[]) => {
    const works = items.map((item) => [`item-${item}`, (own: Context) => own.step(times10, item)] as const);
    const batch = await ctx.parallel(Object.fromEntries(works), { concurrency: 1 });
    await ctx.sleep(50);
    return [batch.results(), batch.items.map(({ name }) => name)];
  });

  covers("each item of a map has a name", async () => {
    const run = await stage.begin(flow, [1, 2]);
    expect(await stage.end(run)).toEqual([
      [10, 20],
      ["item-1", "item-2"],
    ]);
    const named = (await stage.look(run)).steps.filter(({ kind }) => kind === "http");
    expect(named.map(({ stepName, payload }) => [stepName?.split(":")[0], payload])).toEqual([
      ["item-1", 1],
      ["item-2", 2],
    ]);
  });
}

{
  const flow = app.workflow("suspended", async (ctx, items: string[]) => {
    const item = async (own: Context, text: string): Promise<string> => {
      if (text !== "r0") await own.sleep(400);
      return own.step(give, text);
    };
    return (await ctx.map(items, item, { concurrency: 1 })).results();
  });

  covers("a map goes on where an item was suspended", async () => {
    stage.noted.length = 0;
    const run = await stage.begin(flow, ["r0", "r1"]);
    expect(await stage.end(run)).toEqual(["r0", "r1"]);
    expect(stage.noted).toEqual(["r0", "r1"]);
    expect((await stage.look(run)).root.attempts).toBeGreaterThan(1);
  });
}

{
  const capital = app.step("capital", (text: string) => new Wrapped(text.toUpperCase()));
  const flow = app.workflow("forms", async (ctx, items: string[]) => {
    const batch = await ctx.map(items, capital, { concurrency: 1 });
    const whole = await ctx.run("whole", () => `joined:${batch.results().map(Wrapped.read)}`);
    await ctx.sleep(400);
    return whole.replace("joined:", "").split(",");
  });

  covers("results of a map have a form of their own", async () => {
    const run = await stage.begin(flow, ["x", "y"]);
    expect(await stage.end(run)).toEqual(["X", "Y"]);
    const kept = (await stage.look(run)).steps.filter(({ kind }) => kind !== "timer").map(({ response }) => response);
    expect(kept).toEqual([{ wrapped: "X" }, { wrapped: "Y" }, "joined:X,Y"]);
  });
}
