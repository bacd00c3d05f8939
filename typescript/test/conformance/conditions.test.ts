/** Conditions that are waited for (6-1 to 6-13). */

import { expect } from "vitest";
import { ConditionNotMetError } from "../../src/index.ts";
import { covers, Stage, Wrapped } from "./stage.ts";

const stage = new Stage("ts-case-conditions", 10);
const { app } = stage;
const times10 = app.step("times10", (value: number) => 10 * value);

const upTo =
  (most: number) =>
  (seen: number): [boolean, number] => [seen + 1 >= most, seen + 1];

{
  interface Job {
    readonly status: string;
    readonly attempts: number;
  }
  const job = ({ attempts }: Job): [boolean, Job] => {
    const isDone = attempts + 1 === 2;
    return [isDone, { status: isDone ? "DONE" : "PENDING", attempts: attempts + 1 }];
  };
  const flow = app.workflow("met", async (ctx, threshold: number) => {
    const counted = await ctx.until(upTo(threshold), { state: 0, every: 20, name: "poll-status" });
    const atOnce = await ctx.until((seen: number) => [seen >= 5, seen] as const, { state: 5, every: "1h" });
    const later = await ctx.until(upTo(8), { state: 5, every: 20 });
    const done = await ctx.until(job, { state: { status: "PENDING", attempts: 0 }, every: 20 });
    const nothing = await ctx.until((state: null) => [true, state] as const, { state: null, every: "1h" });
    const after = await ctx.step(times10, counted);
    const first = await ctx.until(upTo(2), { state: 0, every: 20 });
    return [counted, atOnce, later, done, nothing, after, await ctx.until(upTo(4), { state: first, every: 20 })];
  });

  covers("conditions are met by their state", async () => {
    const run = await stage.begin(flow, 3);
    expect(await stage.end(run)).toEqual([3, 5, 8, { status: "DONE", attempts: 2 }, null, 30, 4]);
    const named = (await stage.look(run)).steps.filter(({ stepName }) => stepName === "poll-status");
    expect(named.filter(({ kind }) => kind === "value")).toHaveLength(3);
    expect(named.filter(({ kind }) => kind === "timer").map(({ delay }) => delay)).toEqual([20, 20]);
  });
}

{
  const grow = (state: unknown): [boolean, unknown] => {
    const text = Wrapped.read(state as { wrapped: string });
    return [text.length === 1, new Wrapped(`${text}x`)];
  };
  const flow = app.workflow("form", async (ctx, _: null) => ctx.until(grow, { state: { wrapped: "" }, every: 20 }));

  covers("a state has a form of its own", async () => {
    const run = await stage.begin(flow, null);
    expect(await stage.end(run)).toEqual({ wrapped: "xx" });
    const states = (await stage.look(run)).steps.filter(({ kind }) => kind === "value").map(({ response }) => response);
    expect(states).toEqual([
      [false, { wrapped: "x" }],
      [true, { wrapped: "xx" }],
    ]);
  });
}

{
  const never = (seen: number): [boolean, number] => [false, seen + 1];
  const broken = (_: number): never => {
    throw new RangeError("no luck");
  };
  const exhausted = app.workflow("exhausted", async (ctx, _: null) =>
    ctx.until(never, { state: 0, every: 20, maxAttempts: 3 }),
  );
  const failing = app.workflow("failing", async (ctx, _: null) => ctx.until(broken, { state: 0, every: 20 }));
  const caught = app.workflow("caught", async (ctx, _: null) => {
    const told: unknown[] = [];
    try {
      await ctx.until(never, { state: 0, every: 20, maxAttempts: 3 });
    } catch (error) {
      if (!(error instanceof ConditionNotMetError)) throw error;
      told.push(error.attempts, error.state);
    }
    await ctx.until(broken, { state: 0, every: 20 }).catch((error: Error) => told.push(error.name));
    return [...told, "recovered"];
  });

  covers("conditions that are not met fail", async () => {
    expect(await stage.result(caught, null)).toEqual([3, 3, "RangeError", "recovered"]);
    expect((await stage.failure(await stage.begin(exhausted, null))).message).toContain("no attempt is left");
    expect((await stage.failure(await stage.begin(failing, null))).message).toContain("no luck");
  });
}
