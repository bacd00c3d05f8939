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

it("is refused for a run that has not ended", async () => {
  const held = await atomic.start(workflow(), 1, { key: "held", paused: true, timeout: 0 });
  await expect(runs.restart(held.runId)).rejects.toMatchObject({ code: "run-live" });
});
