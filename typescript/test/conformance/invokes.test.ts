/** Another function that is invoked (5-1 to 5-16): a workflow, as a run of its own, and as a step. */

import { expect } from "vitest";
import type { Context, Served, StepFailedError } from "../../src/index.ts";
import { covers, Stage, Wrapped } from "./stage.ts";

const stage = new Stage("ts-case-invokes");
const { app } = stage;
// Stored apart from its row, in a bucket where there is one.
const LARGE = 250_000;

const echo = app.workflow("echo", async (_, payload: unknown) => {
  stage.note(typeof payload === "string" && payload.length > 100 ? "large" : payload);
  return payload;
});
const fail = app.step("fail", (payload: string): never => {
  stage.note(payload);
  throw new RangeError("no luck");
});
const broken = app.workflow("broken", async (ctx, payload: string) => ctx.step(fail, payload, { retry: 0 }));
const greet = app.step("greet", (name: string) => `Hello, ${name}!`);

type Invoke = (
  ctx: Context,
  target: Served,
  payload: unknown,
  options?: { readonly name?: string },
) => Promise<unknown>;
const WAYS: Readonly<Record<"run" | "step", Invoke>> = {
  run: (ctx, target, payload, options) => ctx.runWorkflow(target, payload as never, options),
  step: (ctx, target, payload, options) => ctx.step(target, payload as never, options),
};
type Way = keyof typeof WAYS;
const BOTH = ["run", "step"] as const;

{
  const given = { name: "custom", payload: "in", nested: { key: "value", items: [1, 2, 3] } };
  const flow = app.workflow("invokes", async (ctx, way: Way) => {
    const invoke = WAYS[way];
    const plain = await invoke(ctx, echo, "in");
    const named = await invoke(ctx, echo, "in", { name: "custom" });
    const nested = await invoke(ctx, echo, given);
    const nothing = await invoke(ctx, echo, null);
    const large = (await invoke(ctx, echo, "x".repeat(LARGE))) as string;
    return [plain, named, nested, nothing, large.length];
  });

  covers("an invoked function gives its result", async () => {
    for (const way of BOTH) {
      const run = await stage.begin(flow, way);
      expect(await stage.end(run)).toEqual(["in", "in", given, null, LARGE]);
      const { steps } = await stage.look(run);
      expect(steps.filter(({ stepName }) => stepName === "custom")).toHaveLength(1);
      expect(new Set(steps.map(({ kind }) => kind))).toEqual(new Set([way === "run" ? "run" : "http"]));
    }
    expect([stage.count("in"), stage.count("large")]).toEqual([4, 2]);
  });
}

{
  const uncaught = app.workflow("uncaught", async (ctx, way: Way) => WAYS[way](ctx, broken, `uncaught ${way}`));
  const caught = app.workflow("caught", async (ctx, way: Way) => {
    const found = await WAYS[way](ctx, broken, `caught ${way}`).catch(({ message }: StepFailedError) => message);
    await ctx.sleep(100);
    return found;
  });

  covers("an invoked function fails", async () => {
    for (const way of BOTH) {
      expect((await stage.failure(await stage.begin(uncaught, way))).message).toContain("no luck");
      expect(await stage.result(caught, way)).toContain("no luck");
      expect([stage.count(`uncaught ${way}`), stage.count(`caught ${way}`)]).toEqual([1, 1]);
    }
  });
}

{
  const inner = app.workflow("child", async (ctx, way: Way) => WAYS[way](ctx, echo, `child ${way}`, { name: "inner" }));
  const flow = app.workflow("among", async (ctx, way: Way) => {
    const invoke = WAYS[way];
    const first = await invoke(ctx, echo, await ctx.step(greet, way));
    const last = await ctx.step(greet, `${await invoke(ctx, echo, `${first}!`)}`);
    const [branch] = (await ctx.parallel({ child: (own) => invoke(own, echo, `branch ${way}`) })).results();
    await ctx.sleep(100);
    return [last, branch, await ctx.step(inner, way)];
  });

  covers("functions are invoked among other calls", async () => {
    for (const way of BOTH) {
      expect(await stage.result(flow, way)).toEqual([`Hello, Hello, ${way}!!!`, `branch ${way}`, `child ${way}`]);
      for (const once of [`Hello, ${way}!`, `Hello, ${way}!!`, `branch ${way}`, `child ${way}`]) {
        expect(stage.count(once)).toBe(1);
      }
    }
  });
}

{
  const wrapped = app.workflow(
    "wrapped",
    async (_, given: { wrapped: string }) => new Wrapped(given.wrapped.toUpperCase()),
  );
  const flow = app.workflow("forms", async (ctx, way: Way) => {
    const found = await WAYS[way](ctx, wrapped, new Wrapped("hello"));
    return [found, Wrapped.read(found as { wrapped: string })];
  });

  covers("an invocation has forms of its own", async () => {
    for (const way of BOTH) {
      const run = await stage.begin(flow, way);
      expect(await stage.end(run)).toEqual([{ wrapped: "HELLO" }, "HELLO"]);
      expect((await stage.look(run)).steps[0]?.payload).toEqual({ wrapped: "hello" });
    }
  });
}
