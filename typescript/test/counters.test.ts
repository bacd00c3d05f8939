import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { Counters } from "../src/counters.ts";
import { Atomic, endpoints } from "../src/index.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const app = endpoints();
const work = app.step("work", () => "done");
const HOUR_MS = 3_600_000;

describe("counters", () => {
  let server: DevServer;
  let url: string;

  beforeAll(async () => {
    vi.stubEnv("ATOMIC_URL", "");
    server = await startDevServer({ command: inject("atomicCommand"), clientId: "ts-counters" });
    ({ url } = await server.serve(app));
  });

  afterAll(() => server.close());

  it("lists workflows and what became of their runs", async () => {
    const options = { url: server.url, clientId: "ts-counters" };
    const counters = new Counters(options);
    expect([await counters.workflows(), await counters.list()]).toEqual([[], []]);

    const atomic = new Atomic(options);
    await atomic.start(work.at(url), null, { key: "now" });
    await atomic.start(work.at(url), null, { key: "later", delay: "1h", timeout: 0 });

    const [workflow] = await counters.workflows();
    expect(workflow).toMatchObject({ workflowName: "work", started: 2, succeeded: 1, failed: 0, live: 1 });
    expect(workflow?.durationMsP50).toBeGreaterThanOrEqual(0);
    // The two may have been started in two hours.
    const hours = await counters.list({ since: new Date(Date.now() - HOUR_MS), workflowName: "work" });
    expect(hours.reduce((sum, { started }) => sum + started, 0)).toBe(2);
    const whole = await counters.list({ since: new Date(Date.now() - HOUR_MS), every: "31d", allWorkflows: true });
    expect(whole).toMatchObject([{ workflowName: null, started: 2 }]);
    const minutes = await counters.list({ every: "1m" });
    expect(minutes.map(({ spanMs, beganAt }) => [spanMs, Date.parse(beganAt) % 60_000])).toEqual(
      minutes.map(() => [60_000, 0]),
    );
    expect(minutes.reduce((sum, { started }) => sum + started, 0)).toBe(2);
    await expect(counters.list({ every: "7m" })).rejects.toMatchObject({ code: "invalid-request" });
    expect(await counters.workflows({ since: new Date(Date.now() - HOUR_MS) })).toMatchObject([{ started: 2 }]);
    expect(await counters.list({ workflowName: "other" })).toEqual([]);
    expect(await counters.endpoints()).toMatchObject([{ attempts: 1, failed: 0, slowed: false }]);
    expect((await counters.limits()).liveSteps).toEqual({ limit: null, used: null, countedAt: null });
    await expect(counters.list({ since: new Date(), before: new Date(0) })).rejects.toMatchObject({
      code: "invalid-request",
    });
  });
});
