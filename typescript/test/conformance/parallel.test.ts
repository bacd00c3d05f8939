/** Branches side by side (8-1 to 8-22). They have no records of their own, so 8-12 needs no other nesting. */

import { expect } from "vitest";
import type { Batch, BatchOptions, Context, StepFailedError } from "../../src/index.ts";
import { POLICIES, type Policy, started, summary } from "./policies.ts";
import { covers, Stage, Wrapped } from "./stage.ts";

const stage = new Stage("ts-case-parallel");
const { app } = stage;
const give = app.step("give", (text: string) => stage.note(text));
const good = app.step("good", (text: string) => {
  stage.note(text);
  if (text.startsWith("bad")) throw new RangeError(`no ${text}`);
  return text;
});

/** Branches of a step each, one after the other. */
const batchOf = (ctx: Context, items: readonly string[], options: BatchOptions): Promise<Batch<string>> =>
  ctx.parallel(
    items.map((item) => (own: Context) => own.step(good, item, { retry: 0 })),
    { concurrency: 1, ...options },
  );

{
  const flow = app.workflow("in-order", async (ctx, _: null) => {
    const plain = await ctx.parallel<unknown>(
      [
        (own) => own.step(give, "task-1", { name: "alone" }),
        (own) => own.step(give, "task-2"),
        async () => "alpha",
        async () => 42,
        async () => ({ k: "v" }),
        async (own) => {
          const inner = [(each: Context) => each.step(give, "i1"), (each: Context) => each.step(give, "i2")];
          return (await own.parallel(inner, { concurrency: 1 })).results();
        },
      ],
      { concurrency: 2 },
    );
    const named = await ctx.parallel(
      { first: (own) => own.step(give, "one"), second: (own) => own.step(give, "two") },
      { concurrency: 1, name: "named" },
    );
    const empty = await ctx.parallel([]);
    await ctx.sleep(50);
    return [plain.results(), named.results(), [...named].map(({ name }) => name), empty.results(), empty.endedBy];
  });

  covers("branches have results in their order", async () => {
    const run = await stage.begin(flow, null);
    const plain = ["task-1", "task-2", "alpha", 42, { k: "v" }, ["i1", "i2"]];
    expect(await stage.end(run)).toEqual([plain, ["one", "two"], ["first", "second"], [], "all_completed"]);
    expect([...stage.noted].sort()).toEqual(["i1", "i2", "one", "task-1", "task-2", "two"]);
    const names = (await stage.names(run)).map((name) => name?.split(":")[0]);
    expect(names).toEqual(expect.arrayContaining(["alone", "first", "second"]));
  });
}

{
  const names = Object.keys(POLICIES) as (keyof typeof POLICIES)[];
  const flow = app.workflow("by-policy", async (ctx, name: keyof typeof POLICIES) => {
    const { items, options } = POLICIES[name];
    const batch = await batchOf(ctx, items, options);
    await ctx.sleep(50);
    return summary(batch);
  });
  const alone = async (text: string): Promise<string> => {
    if (text.startsWith("bad")) throw new RangeError(`no ${text}`);
    return text;
  };
  const withoutSteps = app.workflow("without-steps", async (ctx, _: null) => {
    const batches: Batch<string>[] = [];
    for (const { items, options } of Object.values<Policy>(POLICIES)) {
      const works = items.map((item) => () => alone(item));
      batches.push(await ctx.parallel(works, { concurrency: 1, ...options }));
    }
    await ctx.sleep(50);
    return batches.map(summary);
  });

  covers("branches end by their policy", async () => {
    for (const name of names) {
      stage.noted.length = 0;
      expect(await stage.result(flow, name), name).toEqual(POLICIES[name].ends);
      expect(stage.noted, name).toEqual(started(POLICIES[name]));
    }
    expect(await stage.result(withoutSteps, null)).toEqual(names.map((name) => POLICIES[name].ends));
  });
}

{
  const flow = app.workflow("tells", async (ctx, _: null) => {
    const batch = await batchOf(ctx, ["a", "bad1", "c"], { toleratedFailures: 1 });
    await ctx.sleep(50);
    return [
      batch.succeeded.map(({ result }) => result),
      batch.failed.map(({ index, error }) => [index, (error as StepFailedError).failure.lastErrorType]),
    ];
  });

  covers("a batch tells of its branches", async () => {
    expect(await stage.result(flow, null)).toEqual([["a", "c"], [[1, "RangeError"]]]);
  });
}

{
  const refused = app.workflow("refused", async (ctx, _: null) =>
    summary(await batchOf(ctx, ["z"], { concurrency: 0 })),
  );
  const thrown = app.workflow("thrown", async (ctx, _: null) =>
    (await batchOf(ctx, ["bad1", "b"], { toleratedFailures: 0 })).results(),
  );

  covers("a batch throws the error of its first failure", async () => {
    expect((await stage.failure(await stage.begin(refused, null))).message).toContain("concurrency");
    expect(stage.count("z")).toBe(0);
    expect((await stage.failure(await stage.begin(thrown, null))).message).toContain("no bad1");
  });
}

{
  const flow = app.workflow("suspended", async (ctx, _: null) => {
    const quick = (own: Context): Promise<string> => own.step(give, "r0");
    const waits = async (own: Context): Promise<string> => {
      await own.sleep(200);
      return own.step(give, "r1");
    };
    return (await ctx.parallel([quick, waits], { concurrency: 1 })).results();
  });

  covers("a branch goes on where it was suspended", async () => {
    const run = await stage.begin(flow, null);
    expect(await stage.end(run)).toEqual(["r0", "r1"]);
    expect([stage.count("r0"), stage.count("r1")]).toEqual([1, 1]);
    expect((await stage.look(run)).root.attempts).toBeGreaterThan(1);
  });
}

{
  const wrap = app.step("wrap", (text: string) => new Wrapped(text));
  const flow = app.workflow("forms", async (ctx, _: null) => {
    const works = [
      async (own: Context) => Wrapped.read(await own.step(wrap, "x")),
      async (own: Context) => Wrapped.read(await own.run("text", () => new Wrapped("y"))),
    ];
    const batch = await ctx.parallel(works, { concurrency: 1 });
    await ctx.sleep(50);
    return batch.results();
  });

  covers("results of branches have a form of their own", async () => {
    const run = await stage.begin(flow, null);
    expect(await stage.end(run)).toEqual(["x", "y"]);
    const kept = (await stage.look(run)).steps.filter(({ kind }) => kind !== "timer").map(({ response }) => response);
    expect(kept).toEqual([{ wrapped: "x" }, { wrapped: "y" }]);
  });
}
