import { randomUUID } from "node:crypto";
import { describe, expect, expectTypeOf, it } from "vitest";
import { type Atomic, type Batch, ConditionNotMetError, NonRetryable } from "../src/index.ts";
import { application } from "./app.ts";

const { app, atomic, url, counted, count } = application("ts-batches");

const double = app.step("double", (value: number) => 2 * value);
const odd = app.step("odd", (value: number) => {
  if (value % 2 === 0) throw new NonRetryable(`${value} is even`);
  return value;
});
const slow = app.step("slow", async ({ ms, name }: { ms: number; name: string }) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return name;
});

async function outcomeOf(workflow: Parameters<Atomic["start"]>[0], payload: unknown = null): Promise<unknown> {
  return (await atomic.start(workflow, payload, { key: randomUUID(), timeout: "40s" })).response;
}

describe("map", () => {
  const doubled = app.workflow("doubled", async (ctx, values: number[]) => {
    counted(`doubled ${values.length}`);
    const batch = await ctx.map(values, double);
    expectTypeOf(batch).toEqualTypeOf<Batch<number>>();
    return [batch.results(), batch.endedBy];
  });

  it("calls a step for each item, and gives the results in their order", async () => {
    expect(await outcomeOf(doubled.at(url()), [3, 1, 2])).toEqual([[6, 2, 4], "all_completed"]);
    expect(await outcomeOf(doubled.at(url()), [])).toEqual([[], "all_completed"]);
  });

  it("has its handler called again when all of many steps have ended, and not for each", async () => {
    const values = Array.from({ length: 160 }, (_, at) => at);
    expect(await outcomeOf(doubled.at(url()), values)).toEqual([values.map((each) => 2 * each), "all_completed"]);
    expect(count("doubled 160")).toBeLessThan(20);
  });

  const policies = app.workflow("policies", async (ctx, values: number[]) => {
    const enough = await ctx.map(values, odd, { minSuccessful: 2, concurrency: 2, name: "enough" });
    const failing = await ctx.map(values, odd, { toleratedFailures: "20%", concurrency: 1, name: "failing" });
    const all = await ctx.map(values, odd, { toleratedFailures: values.length });
    return [enough, failing, all].map(({ endedBy, items }) => [endedBy, items.map(({ status }) => status)]);
  });

  it("ends early when enough items have succeeded, or too many have failed, in every replay", async () => {
    const [enough, failing, all] = (await outcomeOf(policies.at(url()), [1, 2, 3, 4, 5])) as [string, string[]][];
    expect(enough?.[0]).toBe("min_successful");
    expect(enough?.[1].filter((status) => status === "succeeded")).toHaveLength(2);
    expect(failing).toEqual(["failures_exceeded", ["succeeded", "failed", "succeeded", "failed", "not_started"]]);
    expect(all?.[0]).toBe("all_completed");
  });

  const keyed = app.workflow("keyed", async (ctx, names: string[]) => {
    const order = await ctx.run("order", () => counted("keyed"));
    const shuffled = (ctx.attempt + order) % 2 === 0 ? names : [...names].reverse();
    const batch = await ctx.map(
      shuffled.map((name) => ({ ms: 1, name })),
      slow,
      { key: ({ name }) => name },
    );
    return batch.results().sort();
  });

  it("may get its items in another order, if they have keys", async () => {
    const run = await atomic.start(keyed.at(url()), ["a", "b", "c"], { key: randomUUID() });
    expect(run.response).toEqual(["a", "b", "c"]);
    expect((await atomic.get(run.runId)).steps.filter(({ kind }) => kind === "http")).toHaveLength(3);
  });

  const nested = app.workflow("nested", async (ctx, groups: number[][]) => {
    const batch = await ctx.map(groups, async (branch, group) => {
      const inner = await branch.map(group, async (below, value) => {
        const once = await below.step(double, value);
        return below.step(double, once);
      });
      await branch.sleep(1);
      return inner.results();
    });
    return batch.results();
  });

  it("runs functions with a context of their own, one in the other", async () => {
    expect(await outcomeOf(nested.at(url()), [[1, 2], [3], []])).toEqual([[4, 8], [12], []]);
  });

  const outside = app.workflow("outside", async (ctx, values: number[]) => {
    // The branch is known also where the function calls the context of the workflow.
    const batch = await ctx.map(values, async (_, value) => ctx.step(double, await ctx.step(double, value)));
    return batch.results();
  });

  it("tells calls of its branches apart by AsyncLocalStorage as well", async () => {
    expect(await outcomeOf(outside.at(url()), [1, 2, 3])).toEqual([4, 8, 12]);
  });

  const refusing = app.workflow("refusing", async (ctx, options: object) => ctx.map([1], double, options));

  it.each([{ concurrency: 0 }, { minSuccessful: 2 }, { toleratedFailures: "101%" }, { toleratedFailures: -1 }])(
    "refuses %j before anything is posted",
    async (options) => {
      const started = atomic.start(refusing.at(url()), options, { key: randomUUID() });
      await expect(started).rejects.toMatchObject({ code: "step-failed", failure: { attempts: 1 } });
    },
  );
});

describe("parallel and race", () => {
  const both = app.workflow("both", async (ctx) => {
    const batch = await ctx.parallel({
      one: (branch) => branch.step(double, 1),
      two: (branch) => branch.sleep(20).then(() => branch.step(odd, 2)),
    });
    return batch.items.map(({ name, status, result }) => [name, status, result ?? null]);
  });

  it("names the branches, and gives their outcomes", async () => {
    const run = await atomic.start(both.at(url()), null, { key: randomUUID() });
    expect(run.response).toEqual([
      ["one", "succeeded", 2],
      ["two", "failed", null],
    ]);
    const names = (await atomic.get(run.runId)).steps.map(({ stepName }) => stepName);
    expect(names).toContain("one: double");
    expect(names).toContain("two: sleep");
  });

  const raced = app.workflow("raced", async (ctx, ms: number) => {
    const { name, result } = await ctx.race({
      quick: (branch) => branch.step(slow, { ms, name: "quick" }),
      patient: async (branch) => {
        await branch.sleep("1h");
        return branch.step(double, 21);
      },
    });
    await ctx.sleep(30);
    return [name, result, await ctx.step(double, 1)];
  });

  it("gives the first that ends, and cancels the others", async () => {
    const run = await atomic.start(raced.at(url()), 30, { key: randomUUID() });
    expect(run.response).toEqual(["quick", "quick", 2]);
    const { steps } = await atomic.get(run.runId);
    expect(steps.find(({ stepName }) => stepName === "patient: sleep")?.status).toBe("cancelled");
  });

  const promised = app.workflow("promised", async (ctx) => {
    const first = await Promise.race([
      ctx.step(slow, { ms: 400, name: "late" }, { name: "late" }),
      ctx.step(slow, { ms: 50, name: "early" }, { name: "early" }),
    ]);
    // By now both have ended, and each replay still has to see the early one first.
    await ctx.sleep(600);
    return [first, await ctx.step(slow, { ms: 1, name: `after ${first}` }, { name: "after" })];
  });

  it("leaves Promise.race to the order in which the steps ended", async () => {
    expect(await outcomeOf(promised.at(url()))).toEqual(["early", "after early"]);
  });
});

describe("code after a batch that has left a step", () => {
  const versioned = app.workflow("versioned", async (ctx) => {
    const items = [0, 1500].map((ms) => ({ ms, name: `${ms}` }));
    await ctx.map(items, slow, { minSuccessful: 1 });
    await ctx.sleep(50);
    return ctx.version("new", 2);
  });

  it("is not taken for a replay of older code", async () => {
    expect(await outcomeOf(versioned.at(url()))).toBe(2);
  });

  const half = app.workflow("half", async (ctx) => {
    const first = await ctx.parallel(
      {
        quick: (branch) => branch.step(slow, { ms: 100, name: "quick" }),
        patient: async (branch) => {
          await branch.step(slow, { ms: 1, name: "done" });
          await branch.parallel({ below: (below) => below.run("value", () => 1) });
          await branch.sleep("1h");
          return "patient";
        },
      },
      { minSuccessful: 1 },
    );
    await ctx.sleep(300);
    return [first.succeeded.map(({ name }) => name), await ctx.version("new", 2)];
  });

  it("is not, either, where a branch had finished steps when it was left", async () => {
    expect(await outcomeOf(half.at(url()))).toEqual([["quick"], 2]);
  });
});

describe("until", () => {
  const ready = app.step("ready", (key: string) => counted(key) >= 3 && { ready: true });
  const polled = app.workflow("polled", async (ctx, key: string) =>
    ctx.until(ready, { every: 30, backOff: 2, payload: key, name: "poll" }),
  );

  it("repeats a step until it gives something true", async () => {
    const key = randomUUID();
    expect(await outcomeOf(polled.at(url()), key)).toEqual({ ready: true });
    expect(count(key)).toBe(3);
  });

  const stated = app.workflow("stated", async (ctx, limit: number) => {
    try {
      return await ctx.until((sum: number) => [sum >= limit, sum + 1] as const, {
        every: 10,
        state: 0,
        maxAttempts: 3,
      });
    } catch (error) {
      return error instanceof ConditionNotMetError ? [error.code, error.attempts, error.state] : String(error);
    }
  });

  it("threads a state through its checks, and ends when no attempt is left", async () => {
    expect(await outcomeOf(stated.at(url()), 1)).toBe(2);
    expect(await outcomeOf(stated.at(url()), 9)).toEqual(["condition-not-met", 3, 3]);
  });

  const timed = app.workflow("timed", async (ctx) => {
    try {
      return await ctx.until(() => false, { every: 60, deadline: 100 });
    } catch (error) {
      return error instanceof ConditionNotMetError && error.attempts > 1;
    }
  });

  it("ends when its deadline is over", async () => {
    expect(await outcomeOf(timed.at(url()))).toBe(true);
  });
});
