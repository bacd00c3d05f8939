import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import { NonRetryable } from "../src/index.ts";
import { stepKey } from "../src/protocol.ts";
import { served } from "./served.ts";

const { app, atomic, url } = served(`ts-keys-${randomUUID().slice(0, 8)}`);
const book = app.step("book", (what: string) => {
  if (what === "full") {
    throw new NonRetryable("full");
  }
});
const unbook = app.step("unbook", (_: unknown) => null);
const submit = app.step("submit", async (to: string) => {
  await fetch(to, { method: "POST", body: '"x"', headers: { "content-type": "application/json" } });
});
const child = app.workflow("child", async (_, n: number) => n);

const main = app.workflow("main", async (ctx, _: string) => {
  await ctx.step(book, "a");
  await ctx.step(book, "b", { key: "k" });
  await ctx.step(book, "c", { name: "named" });
  await ctx.run("val", () => 1);
  await ctx.run("val", () => 2);
  await ctx.openEvent("ev", { deadline: 50 });
  await ctx.event("ev", { default: 1, deadline: "0.05s" });
  await ctx.event("ev", { default: 1, deadline: 50 });
  await ctx.callback("cb", submit);
  await ctx.runWorkflow(child, 1);
  await (await ctx.startRun(child, 2)).result();
  await ctx.startRun(child, 3, { key: "mine", name: "x", detached: true });
  await ctx.version("v", 2);
  const first = ctx.saga(async (saga) => {
    await saga.step(book, "s1", { undo: unbook });
    saga.undo(unbook, "hand");
    await saga.run("sv", () => 1, { undo: unbook, undoPayload: 3 });
    await saga.step(book, "full", { undo: unbook });
  });
  await first.catch(() => null);
  const block = async (): Promise<never> => {
    throw new Error("x");
  };
  await ctx.saga(block, { name: "named" }).catch(() => null);
});

// What a workflow of Python with these calls and the key "parity" posts.
const KEYS = `event cb parity
event ev parity
event ev#2 parity
http - parity
http - parity#2-2b58b2ff87d1a27d
http - parity#3-f479bf57c8dc3da9
http - parity/k-21424efce7d2b26c
http - parity@callback1:cb-5ca557ff80f8c451
http named parity
http undo unbook parity@saga1/1-61428598da9dbd9b
run - parity
run - parity#2-2b58b2ff87d1a27d
run x parity/mine-66f21dec278aead1
value sv parity
value undo of named parity@saga1:named@undone-b448a886b0c937f8
value undo of saga parity@saga1@undone-f03128c267744ff3
value val parity
value val parity#2-2b58b2ff87d1a27d
value version v parity@version-4989517749a02a54`;

it("gives each call the key that the SDK of Python gives it", async () => {
  const { runId } = await atomic.start(main.at(url()), "x", { key: "parity" });
  const { steps } = await atomic.get(runId);
  const undos = steps.filter(({ stepName }) => stepName === "undo book" || stepName === "undo sv");
  const others = steps.filter((step) => !undos.includes(step));
  const keys = others.map(({ kind, stepName, idempotencyKey }) => `${kind} ${stepName ?? "-"} ${idempotencyKey}`);
  expect(keys.sort().join("\n")).toBe(KEYS);
  // The key of an undo has the place and the end of its call.
  const failed = steps.find(({ kind, status }) => kind === "http" && status === "failed");
  const key = `${failed?.id.slice(-32)} ${failed?.finishedAt}`;
  const undone = await stepKey("parity", { path: ["saga1", ""], key, number: 1 });
  expect(undos.map(({ idempotencyKey }) => idempotencyKey)).toContain(undone);
  expect(undos.length).toBe(3);
});
