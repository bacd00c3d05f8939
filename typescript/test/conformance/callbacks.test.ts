/** Results that somebody gives from outside (4-1 to 4-19): events of a workflow. */

import { expect } from "vitest";
import type { Context, StepFailedError } from "../../src/index.ts";
import { covers, pause, Stage } from "./stage.ts";

const stage = new Stage("ts-case-callbacks");
const { app } = stage;
const same = app.step("same", (text: string) => text);

/** What somebody outside does with a callback URL. */
async function post(url: string, what = "", result?: unknown): Promise<void> {
  const body = result === undefined ? {} : { body: JSON.stringify(result) };
  const headers = { "content-type": "application/json" };
  expect((await fetch(url + what, { method: "POST", headers, ...body })).status).toBe(200);
}

{
  const complete = app.step("complete", (url: string) => post(url, "", "by URL"));
  const flow = app.workflow("given", async (ctx, name: string) => {
    const first = await ctx.event(name);
    const opened = await ctx.openEvent("approval");
    await ctx.step(complete, opened.url as string);
    const approval = await ctx.event("approval");
    const { timestamp, ...received } = await ctx.event<{ id: string; timestamp: string }>("received");
    const count = await ctx.event<number>("count");
    return [first, approval, { ...received, timestamp: new Date(timestamp).getTime() }, [count, 2 * count]];
  });

  covers("callbacks are given their result", async () => {
    const run = await stage.begin(flow, "any");
    await stage.reached(run, "any");
    await stage.give(run, "any", "by name");
    await stage.give(run, "received", { id: "r1", timestamp: new Date("2026-01-01T00:00:00Z") });
    await stage.give(run, "count", 42);
    const received = { id: "r1", timestamp: 1767225600000 };
    expect(await stage.end(run)).toEqual(["by name", "by URL", received, [42, 84]]);
    const events = (await stage.look(run)).steps.filter(({ kind }) => kind === "event");
    expect(events.map(({ stepName }) => stepName).sort()).toEqual(["any", "approval", "count", "received"]);
  });
}

type Part = "step" | "wait" | "result";

/** Open the event, and do this in this order. The result of the event is that of all. */
async function inOrder(ctx: Context, order: readonly Part[], deadline?: number): Promise<unknown> {
  await ctx.openEvent("answer", deadline === undefined ? {} : { deadline });
  let found: unknown;
  const parts = {
    step: () => ctx.step(same, "step"),
    wait: () => ctx.sleep(200, "wait"),
    result: async () => {
      found = await ctx.event("answer");
    },
  };
  for (const part of order) await parts[part]();
  return found;
}

/** The same, where the failure of the event is caught, and a wait follows. */
async function caught(ctx: Context, deadline?: number): Promise<unknown> {
  const found = await inOrder(ctx, ["result"], deadline).catch((error: StepFailedError) => error.code);
  await ctx.sleep(100, "wait");
  return found;
}

{
  const flows = {
    first: app.workflow("wait-first", async (ctx, _: null) => inOrder(ctx, ["wait", "result"])),
    after: app.workflow("wait-after", async (ctx, _: null) => inOrder(ctx, ["result", "wait"])),
    refused: app.workflow("refused-caught", async (ctx, _: null) => caught(ctx)),
    late: app.workflow("late-caught", async (ctx, _: null) => caught(ctx, 200)),
  };

  covers("callbacks resolve beside steps and waits", async () => {
    const first = await stage.begin(flows.first, null);
    const after = await stage.begin(flows.after, null);
    const refused = await stage.begin(flows.refused, null);
    const late = await stage.begin(flows.late, null);
    await stage.reached(first, "answer", "wait");
    await stage.give(first, "answer", "during");
    await stage.reached(after, "answer");
    await stage.give(after, "answer", "before");
    await stage.reached(refused, "answer");
    await stage.refuse(refused, "answer");
    const expected = ["during", "before", "event-rejected", "event-expired"];
    for (const [at, run] of [first, after, refused, late].entries()) {
      expect(await stage.end(run)).toBe(expected[at]);
      const { root, steps } = await stage.look(run);
      expect(root.attempts).toBeGreaterThan(1);
      expect(steps.filter(({ stepName }) => stepName === "answer")).toHaveLength(1);
    }
  });
}

{
  const orders = { alone: ["result"], step: ["step", "result"], wait: ["wait", "result"] } as const;
  type Name = keyof typeof orders;
  const refused = app.workflow("refused", async (ctx, name: Name) => inOrder(ctx, orders[name]));
  const late = app.workflow("late", async (ctx, name: Name) => inOrder(ctx, orders[name], 100));

  covers("callbacks that fail fail their workflow", async () => {
    for (const name of Object.keys(orders) as Name[]) {
      const both = [await stage.begin(refused, name), await stage.begin(late, name)] as const;
      await stage.reached(both[0], ...(name === "wait" ? ["answer", "wait"] : ["answer"]));
      await stage.refuse(both[0], "answer");
      for (const [at, kind] of ["event_rejected", "event_expired"].entries()) {
        const run = both[at] as (typeof both)[number];
        const { message, failure } = await stage.failure(run);
        expect((failure.response as { lastErrorKind: string }).lastErrorKind).toBe(kind);
        expect(message.includes("not approved")).toBe(kind === "event_rejected");
        const { steps } = await stage.look(run);
        const states = Object.fromEntries(steps.map(({ stepName, status }) => [stepName ?? "step", status]));
        expect(states).toEqual({ answer: "failed", ...(name !== "alone" && { [name]: "succeeded" }) });
      }
    }
  });
}

{
  const flow = app.workflow("alive", async (ctx, heartbeat: number) => {
    const { url } = await ctx.openEvent("answer", { heartbeat });
    await ctx.run("told", () => {
      urls.push(url as string);
    });
    return ctx.event("answer");
  });
  const urls: string[] = [];

  covers("callbacks need heartbeats", async () => {
    const silent = await stage.begin(flow, 200);
    const { failure } = await stage.failure(silent);
    expect((failure.response as { lastErrorKind: string }).lastErrorKind).toBe("heartbeat_missed");
    const alive = await stage.begin(flow, 1000);
    await stage.reached(alive, "answer", "told");
    for (let beats = 0; beats < 13; beats++) {
      await post(urls[1] as string, "/heartbeat");
      await pause(100);
    }
    await stage.give(alive, "answer", "at last");
    expect(await stage.end(alive)).toBe("at last");
  });
}

{
  const each = app.workflow("each", async (ctx, _: null) => [await ctx.event("a"), await ctx.event("b")]);
  const open = async (ctx: Context, order: readonly ("a" | "b")[]): Promise<unknown[]> => {
    await ctx.openEvent("a");
    await ctx.openEvent("b");
    const found: Record<string, unknown> = {};
    for (const name of order) found[name] = await ctx.event(name);
    return [found.a, found.b];
  };
  const both = app.workflow("both", async (ctx, _: null) => open(ctx, ["a", "b"]));
  const reverse = app.workflow("reverse", async (ctx, _: null) => open(ctx, ["b", "a"]));

  covers("two callbacks are awaited in any order", async () => {
    for (const flow of [each, both, reverse]) {
      const run = await stage.begin(flow, null);
      await stage.reached(run, ...(flow === each ? ["a"] : ["a", "b"]));
      await stage.give(run, "a", "A");
      await stage.reached(run, "b");
      await stage.give(run, "b", "B");
      expect(await stage.end(run)).toEqual(["A", "B"]);
    }
  });
}
