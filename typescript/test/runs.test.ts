import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { Atomic } from "../src/index.ts";
import { Runs } from "../src/runs.ts";

const options = { url: inject("atomicUrl"), clientId: "ts-runs" };
const atomic = new Atomic(options);
const runs = new Runs(options);
let server: Server;

beforeAll(async () => {
  server = createServer((_, response) => response.end('"done"'));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const workflow = () => ({
  workflowName: "again",
  url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
});

it("starts a run again, once for each call", async () => {
  const first = await atomic.start(workflow(), { n: 1 }, { key: "k" });
  const again = await runs.restart(first.runId);
  expect([again.idempotencyKey, again.restartOf]).toEqual(["k/2", first.runId]);
  expect(await atomic.wait(again.id)).toMatchObject({ payload: { n: 1 }, response: "done" });
  expect((await runs.restart(first.runId)).id).toBe(again.id);
  await expect(runs.restart(first.runId, { payload: 2 })).rejects.toMatchObject({ code: "payload-mismatch" });
});

it("takes another payload and another key", async () => {
  const first = await atomic.start(workflow(), { n: 1 }, { key: "edited" });
  const again = await runs.restart(first.runId, { payload: { n: 2 }, key: "other" });
  expect(again.idempotencyKey).toBe("other");
  await atomic.wait(again.id);
  const none = await runs.restart(again.runId, { payload: null });
  expect((await atomic.wait(none.id)).payload).toBeNull();
});

it("starts a run again at another URL", async () => {
  const first = await atomic.start(workflow(), { n: 1 }, { key: "moved" });
  const url = `${workflow().url}mended`;
  const again = await runs.restart(first.runId, { url });
  expect([again.stepInvokeUrl, again.restartOf]).toEqual([url, first.runId]);
  await expect(runs.restart(first.runId)).rejects.toMatchObject({ code: "run-exists" });
});

it("is refused for a run that has not ended", async () => {
  const held = await atomic.start(workflow(), 1, { key: "held", paused: true, timeout: 0 });
  await expect(runs.restart(held.runId)).rejects.toMatchObject({ code: "run-live" });
});

it("lists dead letters by the tags of their runs, and redrives them", async () => {
  const lost = { workflowName: "lost", url: "http://127.0.0.1:9/" };
  for (const customer of ["c-1", "c-2"]) {
    const options = { key: customer, tags: { customer, env: "prod" }, retry: 0 };
    await expect(atomic.start(lost, 1, options)).rejects.toMatchObject({ code: "step-failed" });
  }
  const letters = await runs.deadLetters({ tag: "customer:c-1" });
  expect(letters).toMatchObject([{ idempotencyKey: "c-1", notRedrivableReason: null }]);
  expect(await runs.deadLetters({ tag: ["customer:c-1", "env:test"] })).toEqual([]);
  expect(await runs.deadLetters({ workflowName: "lost", limit: 1 })).toHaveLength(1);
  expect(await runs.redriveAll({ tag: ["customer:c-1", "env:prod"] })).toEqual(letters.map(({ id }) => id));
  expect(await runs.redriveAll({ workflowName: "lost", tag: "customer:c-3" })).toEqual([]);
  await expect(runs.redriveAll({})).rejects.toMatchObject({ code: "invalid-request" });
});
