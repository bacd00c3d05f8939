import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { served, until } from "./served.ts";

const { app, atomic, url } = served("ts-versions");
let isNewCode = false;

const echo = app.step("echo", (value: string) => value);

describe("a version", () => {
  const renewing = app.workflow("renewing", async (ctx, _: string) => {
    const first = await ctx.step(echo, "first");
    const version = isNewCode ? await ctx.version("by letter", 1) : 0;
    const second = version >= 1 ? "a letter" : await ctx.step(echo, "second");
    await ctx.event("end");
    return [first, second, isNewCode ? await ctx.version("by letter", 2) : 0, await ctx.version("later", 3)];
  });

  async function run(changeTo: boolean): Promise<unknown> {
    const key = randomUUID();
    const { id, runId } = await atomic.start(renewing.at(url()), key, { key, timeout: 0 });
    await until(async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "event"));
    isNewCode = changeTo;
    await atomic.signal({ workflowName: "renewing", key, name: "end" }, null);
    return (await atomic.wait(id)).response;
  }

  it("is 0 for runs that went on from here before, and the newest one for others, which keep it", async () => {
    isNewCode = false;
    expect(await run(true)).toEqual(["first", "second", 0, 3]);
    isNewCode = true;
    expect(await run(true)).toEqual(["first", "a letter", 1, 3]);
  });

  it("does not hide from a cancel what older code has called", async () => {
    const key = randomUUID();
    isNewCode = false;
    const { id, runId } = await atomic.start(leaving.at(url()), key, { key, timeout: 0 });
    await until(async () => (await atomic.get(runId)).steps.find(({ kind }) => kind === "event"));
    isNewCode = true;
    await atomic.cancel(runId, { graceful: true });
    await expect(atomic.wait(id)).rejects.toMatchObject({ code: "cancelled" });
    expect(undone).toEqual(["second", "first"]);
  });

  const undone: string[] = [];
  const undo = app.step("undo", (what: string) => {
    undone.push(what);
  });
  const leaving = app.workflow("leaving", async (ctx, _: string) =>
    ctx.saga(async (saga) => {
      await saga.step(echo, "first", { undo });
      if (isNewCode) {
        await ctx.version("change", 1);
      }
      await saga.step(echo, "second", { undo });
      await ctx.event("end");
    }),
  );

  const wrong = app.workflow("wrong", async (ctx, _: null) => ctx.version("x", 0.5));

  it("is a whole number from 1 on", async () => {
    const started = atomic.start(wrong.at(url()), null, { key: randomUUID() });
    await expect(started).rejects.toMatchObject({ message: expect.stringContaining("whole number") });
  });
});
