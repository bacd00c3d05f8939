import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { Atomic, endpoints } from "../src/index.ts";
import { WorkflowPauses } from "../src/pauses.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const NAME = "import";
const app = endpoints({ waitMs: 200 });
const work = app.workflow(NAME, async (_ctx, _: null) => "done");

describe("workflows", () => {
  let server: DevServer;
  let pauses: WorkflowPauses;
  let url: string;

  beforeAll(async () => {
    vi.stubEnv("ATOMIC_URL", "");
    server = await startDevServer({ command: inject("atomicCommand"), virtualTime: true, clientId: "ts-pauses" });
    url = (await server.serve(app)).url;
    pauses = new WorkflowPauses({ url: server.url, clientId: "ts-pauses" });
  });
  afterAll(() => server.close());

  it("are paused, and go on", async () => {
    const atomic = new Atomic({ url: server.url, clientId: "ts-pauses" });
    const state = await pauses.pause(NAME, { note: "a wrong release" });
    expect(state).toMatchObject({ workflowName: NAME, paused: { until: null, note: "a wrong release" } });
    expect(await pauses.list()).toEqual([state]);
    const kept = await atomic.start(work.at(url), null, { key: "k", timeout: 0 });
    expect((await atomic.step(kept.id)).attempts).toBe(0);
    expect((await pauses.resume(NAME)).paused).toBeNull();
    expect((await pauses.get(NAME)).paused).toBeNull();
    await server.advance("1m");
    expect((await atomic.wait(kept.id, { timeout: 30_000 })).response).toBe("done");
  });

  it("are paused until a moment", async () => {
    const until = new Date(Date.now() + 3_600_000);
    const { paused } = await pauses.pause("orders/other", { until });
    expect(new Date(paused?.until ?? 0)).toEqual(until);
  });
});
