import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { Atomic } from "../src/index.ts";

const atomic = new Atomic({ url: inject("atomicUrl"), clientId: "ts-singles" });
let answer: (() => void) | undefined;
let calls = 0;
let server: Server;

beforeAll(async () => {
  server = createServer((request, response) => {
    calls++;
    if (request.url === "/slow") {
      answer = () => response.end('"slow"');
    } else {
      response.end('"quick"');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const at = (path: string) => ({
  workflowName: "sync",
  url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
});

it("attaches to the run that has the key, or is refused", async () => {
  const first = atomic.start(at("/slow"), null, { key: "k-1", singleton: { key: "sync" } });
  await expect.poll(() => answer).toBeDefined();
  const skipped = atomic.start(at("/quick"), null, { key: "k-2", singleton: { key: "sync", onBusy: "skip" } });
  await expect(skipped).rejects.toMatchObject({ code: "busy" });
  const second = atomic.start(at("/quick"), null, { key: "k-3", singleton: { key: "sync" } });
  await new Promise((resolve) => setTimeout(resolve, 100));
  answer?.();
  const [own, other] = await Promise.all([first, second]);
  expect([own.response, other.response]).toEqual(["slow", "slow"]);
  expect(own.attachedTo).toBeUndefined();
  expect(other.attachedTo).toEqual({ runId: own.runId, workflowName: "sync", idempotencyKey: "k-1" });
});

it("has the outcome of the last start of a burst", async () => {
  const before = calls;
  const debounce = { key: "doc", quiet: 300 };
  const first = await atomic.start(at("/quick"), 1, { key: "d-1", debounce, timeout: 0 });
  const last = await atomic.start(at("/quick"), 2, { key: "d-2", debounce });
  expect((await atomic.wait(first.id)).id).toBe(last.id);
  expect((await atomic.step(first.id)).errorKind).toBe("superseded");
  expect(calls).toBe(before + 1);
});
