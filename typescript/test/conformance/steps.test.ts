/** Steps (1-1 to 1-20) and waits (2-1 to 2-5). */

import { expect, expectTypeOf, vi } from "vitest";
import { type Call, StepFailedError } from "../../src/index.ts";
import { covers, dying, FAST, Stage, Wrapped } from "./stage.ts";

const stage = new Stage("ts-case-steps");
const { app } = stage;
const quick = new Stage("ts-case-quick", 5000);

const third = app.step("third", (text: string, call: Call) => {
  if (call.attempt < 3) throw new TypeError("not yet");
  return text;
});
const never = app.step("never", (): never => {
  throw new RangeError("never");
});
const note = app.step("note", (text: string) => stage.note(text));

{
  const step = quick.app.step("greet", (name: string) => `Hello, ${name}!`);
  const nested = quick.app.step("nested", (name: string) => ({ user: { name, tags: ["a", null] }, count: 2 }));
  const nothing = quick.app.step("nothing", () => undefined);
  const flow = quick.app.workflow("results", async (ctx, name: string) => {
    const greeting = await ctx.step(step, name, { name: "custom_step_name" });
    const value = await ctx.run("custom_value_name", () => `Hello, ${name}!`);
    const longer = await ctx.step(step, greeting);
    const found = await ctx.step(nested, name);
    const same = await ctx.run("nested", () => found);
    const none = await ctx.run("nothing", () => undefined);
    return [greeting, value, longer, found, same, none, await ctx.step(nothing, undefined as never)];
  });

  covers("results of steps and values", async () => {
    const run = await quick.begin(flow, "Ann");
    const expected = { user: { name: "Ann", tags: ["a", null] }, count: 2 };
    const hello = "Hello, Ann!";
    expect(await quick.end(run)).toEqual([hello, hello, "Hello, Hello, Ann!!", expected, expected, null, null]);
    expect(new Set(await quick.names(run))).toEqual(
      new Set(["custom_step_name", "custom_value_name", "nested", "nothing", null]),
    );
  });
}

{
  const wrap = app.step("wrap", (text: string) => new Wrapped(text.toUpperCase()));
  const flow = app.workflow("form", async (ctx, text: string) => {
    const written = await ctx.step(wrap, text);
    expectTypeOf(written).toEqualTypeOf<{ wrapped: string }>();
    await ctx.sleep(50);
    return Wrapped.read(written);
  });

  covers("a step has a form of its own", async () => {
    const run = await stage.begin(flow, "hello world");
    expect(await stage.end(run)).toBe("HELLO WORLD");
    expect((await stage.look(run)).steps[0]?.response).toEqual({ wrapped: "HELLO WORLD" });
  });
}

{
  const fail = app.step("fail", (text: string): never => {
    throw new RangeError(stage.note(text));
  });
  const flow = app.workflow("replay", async (ctx, _: null) => {
    const step = await ctx.step(note, "a step");
    const value = await ctx.run("value", () => stage.note("a value"));
    await ctx.step(fail, "a failure", { retry: 0 }).catch((error: StepFailedError) => {
      stage.note(`caught ${error.failure.lastErrorType}`);
    });
    await ctx.sleep(300);
    return [step, value];
  });

  covers("a replay skips what is done", async () => {
    expect(await stage.result(flow, null)).toEqual(["a step", "a value"]);
    for (const once of ["a step", "a value", "a failure"]) expect(stage.count(once)).toBe(1);
    expect(stage.count("caught RangeError")).toBeGreaterThan(1);
  });
}

{
  const grown = { count: 5, backOff: 20, factor: 3, jitter: "none" } as const;
  const flow = app.workflow("retried", async (ctx, _: null) => {
    const done = await ctx.step(third, "a", { retry: FAST });
    const own = await ctx.step(third, "b", { retry: grown, name: "own" });
    const told: unknown[] = [];
    for (const retry of [FAST, 0]) {
      await ctx.step(never, undefined as never, { retry }).catch((error: StepFailedError) => {
        told.push([error.failure.attempts, error.failure.lastErrorType]);
      });
    }
    return [done, own, told, await ctx.step(third, "fallback", { retry: FAST, key: "last" })];
  });
  const uncaught = app.workflow("uncaught", async (ctx, retries: number) =>
    ctx.step(never, undefined as never, { retry: retries === 0 ? 0 : FAST }),
  );

  covers("steps are retried by their policy", async () => {
    const run = await stage.begin(flow, null);
    for (const retries of [0, 3]) {
      const { message } = await stage.failure(await stage.begin(uncaught, retries));
      expect(message).toContain("never");
    }
    expect(await stage.end(run)).toEqual([
      "a",
      "b",
      [
        [4, "RangeError"],
        [1, "RangeError"],
      ],
      "fallback",
    ]);
    const { steps } = await stage.look(run);
    expect(steps.map(({ attempts }) => attempts)).toEqual([3, 3, 4, 1, 3]);
    const [first = 0, second = 0, last = 0] = (steps[1]?.attemptLog ?? []).map(({ startedAt }) =>
      Date.parse(startedAt),
    );
    expect(second - first).toBeGreaterThanOrEqual(20);
    expect(last - second).toBeGreaterThanOrEqual(60);
  });
}

{
  const flow = app.workflow("by-default", async (ctx, text: string) => ctx.step(third, text));

  covers("a step without a policy is retried", async () => {
    const run = await stage.begin(flow, "at last");
    expect(await stage.end(run)).toBe("at last");
    const [step] = (await stage.look(run)).steps as unknown as [{ attempts: number; retry: object }];
    expect(step.attempts).toBe(3);
    expect(step.retry).toMatchObject({ strategy: "exponential", factor: 2, jitter: "full", count: 25, backOff: 1000 });
  });
}

{
  class TransientError extends Error {}
  const second = app.step("second", (_: null, call: Call) => {
    if (call.attempt === 1) throw new TransientError("not yet");
    return call.attempt;
  });
  const flow = app.workflow("by-type", async (ctx, how: "on" | "never") =>
    ctx.step(second, null, { retry: { count: 3, backOff: 1, [how]: "TransientError" } }),
  );
  const other = app.workflow("by-other-type", async (ctx, _: null) =>
    ctx.step(second, null, { retry: { count: 3, backOff: 1, on: "RangeError" } }),
  );

  covers("types of errors say what is retried", async () => {
    expect(await stage.result(flow, "on")).toBe(2);
    expect(await stage.failure(await stage.begin(flow, "never"))).toMatchObject({ code: "step-failed" });
    expect(await stage.failure(await stage.begin(other, null))).toMatchObject({
      message: expect.stringContaining("not yet"),
    });
  });
}

{
  const flow = app.workflow("at-most-once", async (ctx, { url, count }: { url: string; count: number }) =>
    ctx.step(url, null, { onLost: "fail", retry: { count, backOff: 20, jitter: "none" } }),
  );

  covers("an attempt is made at most once", async () => {
    const once = await dying();
    expect(await stage.failure(await stage.begin(flow, { url: once.url, count: 0 }))).toBeInstanceOf(StepFailedError);
    expect(once.calls()).toBe(1);
    const again = await dying();
    expect(await stage.result(flow, { url: again.url, count: 1 })).toBe("alive");
    expect(again.calls()).toBe(2);
  });
}

{
  const flow = app.workflow("waits", async (ctx, _: null) => {
    await ctx.sleep(200);
    await ctx.sleep("200ms", "wait-1");
    await ctx.sleep({ seconds: 0.2 }, "wait-2");
    return "awake";
  });
  const long = app.workflow("long", async (ctx, unit: "minutes" | "hours") => ctx.sleep({ [unit]: 1 }, "nap"));

  covers("waits", async () => {
    const run = await stage.begin(flow, null);
    for (const [unit, seconds] of [
      ["minutes", 60],
      ["hours", 3600],
    ] as const) {
      const lasting = await stage.begin(long, unit);
      await stage.reached(lasting, "nap");
      const [timer] = (await stage.look(lasting)).steps;
      expect(timer).toMatchObject({ kind: "timer", status: "pending" });
      const ms = Date.parse(timer?.dueAt ?? "") - Date.parse(timer?.createdAt ?? "");
      expect(Math.round(ms / 1000)).toBe(seconds);
      await stage.atomic.cancel(lasting.runId);
    }
    expect(await stage.end(run)).toBe("awake");
    const { steps, root } = await stage.look(run);
    expect(steps.map(({ stepName }) => stepName)).toEqual(["sleep", "wait-1", "wait-2"]);
    expect(root.attempts).toBeGreaterThan(1);
  });
}

{
  const flow = app.workflow("logging", async (ctx, _: null) => {
    await ctx.run("greet", () => ctx.logger.info("hello from a step", { about: "Ann" }));
    await ctx.sleep(300);
  });

  covers("a logger knows its step", async () => {
    const info = vi.spyOn(console, "info").mockImplementation(() => undefined);
    const run = await stage.begin(flow, null);
    await stage.end(run);
    const lines = info.mock.calls.filter(([, fields]) => fields.runId === run.runId);
    info.mockRestore();
    expect(lines).toEqual([["hello from a step", expect.objectContaining({ about: "Ann", attempt: 1 })]]);
    expect((await stage.look(run)).root.attempts).toBe(2);
  });
}
