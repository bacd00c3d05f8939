import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { Bulk } from "../src/bulk.ts";
import { Atomic, endpoints, RefusedError, StepFailedError } from "../src/index.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let isBroken = true;
const app = endpoints({ waitMs: 200 });
const charge = app.workflow("charge", async (_ctx, _: null) => {
  if (isBroken) {
    throw new Error("no");
  }
  return "charged";
});

describe("bulks", () => {
  let server: DevServer;
  let bulk: Bulk;

  beforeAll(async () => {
    vi.stubEnv("ATOMIC_URL", "");
    server = await startDevServer({ command: inject("atomicCommand"), virtualTime: true, clientId: "ts-bulk" });
    const { url } = await server.serve(app);
    bulk = new Bulk({ url: server.url, clientId: "ts-bulk" });
    const atomic = new Atomic({ url: server.url, clientId: "ts-bulk" });
    for (const [key, day] of [
      ["o-1", "monday"],
      ["o-2", "monday"],
      ["o-3", "tuesday"],
    ] as const) {
      const started = atomic.start(charge.at(url), null, { key, retry: 0, tags: { day } });
      await expect(started).rejects.toThrow(StepFailedError);
    }
    isBroken = false;
  });
  afterAll(() => server.close());

  it("count what they would concern", async () => {
    const found = await bulk.count("redrive", { workflowName: "charge", tag: ["day:monday"] });
    expect(found).toMatchObject({ do: "redrive", runs: 2, isAll: true });
    expect(found.sample.map(({ idempotencyKey }) => idempotencyKey).sort()).toEqual(["o-1", "o-2"]);
  });

  it("do it to each run, once for a key", async () => {
    const filter = { tag: "day:monday" };
    const { runId } = await bulk.start("redrive", filter, { key: "b-1", note: "mended" });
    await vi.waitFor(async () => expect((await bulk.get(runId)).status).toBe("succeeded"), { timeout: 20_000 });
    expect(await bulk.start("redrive", filter, { key: "b-1", note: "mended" })).toMatchObject({
      runId,
      done: 2,
      runs: 2,
    });
    expect((await bulk.start("cancel", filter)).runId).not.toBe((await bulk.start("cancel", filter)).runId);
    expect(await bulk.count("redrive", { workflowName: "charge" })).toMatchObject({ runs: 1 });
  });

  it("are refused without a filter", async () => {
    await expect(bulk.start("erase", {})).rejects.toMatchObject({ code: "invalid-request" });
    await expect(bulk.get(`run_${"e".repeat(32)}`)).rejects.toThrow(RefusedError);
  });
});
