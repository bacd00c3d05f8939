import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { Causes } from "../src/causes.ts";
import { Atomic, endpoints, NonRetryable } from "../src/index.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const app = endpoints();
const pay = app.step("pay", (order: number) => {
  if (order === 0) {
    return "paid";
  }
  throw new NonRetryable(`order ${order} has no funds`);
});

describe("causes", () => {
  let server: DevServer;
  let url: string;

  beforeAll(async () => {
    vi.stubEnv("ATOMIC_URL", "");
    server = await startDevServer({ command: inject("atomicCommand"), clientId: "ts-causes" });
    ({ url } = await server.serve(app));
  });

  afterAll(() => server.close());

  it("counts failed runs, and dismisses them", async () => {
    const options = { url: server.url, clientId: "ts-causes" };
    const causes = new Causes(options);
    const atomic = new Atomic(options);
    for (const order of [41, 42]) {
      await expect(atomic.start(pay.at(url), order, { key: `${order}` })).rejects.toThrow("no funds");
    }
    const fine = await atomic.start(pay.at(url), 0, { key: "fine" });

    const { causes: found, more, isAll } = await causes.list();
    expect([found.length, more, isAll]).toEqual([1, false, true]);
    const [cause] = found;
    expect(cause).toMatchObject({ workflowName: "pay", count: 2 });
    expect(cause?.text).toContain("order # has no funds");
    const runs = await atomic.runs({ cause: cause?.id ?? "" });
    expect(runs.map(({ cause: own }) => own?.id)).toEqual([cause?.id, cause?.id]);
    expect((await causes.list({ workflowName: "other", limit: 1 })).causes).toEqual([]);

    const runId = runs[0]?.runId ?? "";
    expect((await causes.dismiss(runId, { note: "known" })).dismissed?.note).toBe("known");
    expect((await atomic.runs({ dismissed: true })).map(({ runId: id }) => id)).toEqual([runId]);
    expect((await atomic.runs({ dismissed: false })).length).toBe(1);
    expect((await causes.list({ state: "dismissed" })).causes[0]?.count).toBe(1);
    expect((await causes.undismiss(runId)).dismissed).toBeUndefined();
    await expect(causes.dismiss(fine.runId)).rejects.toMatchObject({ code: "not-failed" });
  });
});
