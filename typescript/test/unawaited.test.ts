import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { NonRetryable } from "../src/index.ts";
import { application } from "./app.ts";

const { app, atomic, url } = application("ts-unawaited", 5000);
const broken = app.step("broken", (): never => {
  throw new NonRetryable("no luck");
});
const slow = app.step("slow", async () => {
  await new Promise((resolve) => setTimeout(resolve, 100));
  return "slow";
});

const unawaited = app.workflow("unawaited", async (ctx) => {
  void ctx.step(broken, null);
  void ctx.map([1], broken as never);
  void ctx.parallel([(branch) => branch.step(broken, null, { name: "in a branch" })]).then((batch) => batch.items);
  const run = await ctx.startRun(failing, null);
  void run.result();
  void ctx.saga((saga) => saga.step(broken, null, { undo: slow as never, name: "in a saga" }));
  // Awaited only when it has failed already.
  const early = ctx.step(broken, null, { name: "early" });
  const later = await ctx.step(slow, null as never);
  return [later, await early.catch((error: Error) => error.name)];
});
const failing = app.workflow("failing", async (ctx) => ctx.step(broken, null));

it("a call that fails before it is awaited does not end the process", async () => {
  const seen: unknown[] = [];
  const note = (error: unknown): void => void seen.push(error);
  process.on("unhandledRejection", note);
  try {
    const { response } = await atomic.start(unawaited.at(url()), null, { key: randomUUID() });
    expect(response).toEqual(["slow", "StepFailedError"]);
    await new Promise((resolve) => setTimeout(resolve, 300));
  } finally {
    process.off("unhandledRejection", note);
  }
  expect(seen).toEqual([]);
});

const inside = app.workflow("inside", async (ctx) => ctx.run("outer", () => ctx.step(slow, null as never)));

it("a value whose function calls the context is refused at once", async () => {
  const started = atomic.start(inside.at(url()), null, { key: randomUUID() });
  await expect(started).rejects.toMatchObject({ code: "step-failed", failure: { attempts: 1 } });
});
