import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { endpoints, RefusedError } from "../src/index.ts";
import { at, cron, every, Schedules, scheduledAt } from "../src/schedules.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const BEGIN = new Date("2026-01-01T00:00:30Z");
const times: (Date | undefined)[] = [];
const app = endpoints({ waitMs: 200 });
const digest = app.workflow("digest", async (ctx, what: { of: string }) => {
  times.push(scheduledAt(ctx));
  return what.of;
});

describe("schedules", () => {
  let server: DevServer;
  let schedules: Schedules;
  let workflow: ReturnType<typeof digest.at>;

  beforeAll(async () => {
    vi.stubEnv("ATOMIC_URL", "");
    server = await startDevServer({ command: inject("atomicCommand"), virtualTime: BEGIN, clientId: "ts-schedules" });
    const { url } = await server.serve(app);
    workflow = digest.at(url);
    schedules = new Schedules({ url: server.url, clientId: "ts-schedules" });
  });
  afterAll(() => server.close());

  it("start a run at each time, which is told the time", async () => {
    const put = await schedules.put("digest", cron("*/15 * * * *"), workflow, { of: "sales" }, { retry: 2 });
    expect(put.next[0]).toBe("2026-01-01T00:15:00.000Z");
    expect(put.start.retry.count).toBe(2);
    await server.advance("1h");
    const began = ["00:15", "00:30", "00:45", "01:00"].map((time) => new Date(`2026-01-01T${time}:00Z`));
    expect(times).toEqual(began);
    const shown = await schedules.get("digest");
    expect(shown.started).toBe(4);
    expect(shown.last?.status).toBe("succeeded");
    expect((await schedules.list()).map(({ name }) => name)).toEqual(["digest"]);
    await schedules.delete("digest");
    await expect(schedules.get("digest")).rejects.toThrow(RefusedError);
  });

  it("are paused, resumed, triggered and backfilled", async () => {
    const policy = {
      overlap: "queue",
      catchUp: "none",
      catchUpWindow: "1h",
      spread: "1m",
      limit: 9,
      note: "x",
    } as const;
    const put = await schedules.put("slow", every("6h", { phase: "1h", ...policy }), workflow, { of: "all" });
    expect(put).toMatchObject({
      every: 21_600_000,
      phase: 3_600_000,
      overlap: "queue",
      catchUp: { policy: "none", window: 3_600_000 },
      spread: 60_000,
      limit: 9,
      note: "x",
    });
    expect((await schedules.pause("slow", "why")).note).toBe("why");
    const from = new Date("2025-12-31T00:00:00Z");
    expect(await schedules.next("slow", { count: 1, from })).toEqual([new Date("2025-12-31T01:00:00Z")]);
    expect((await schedules.resume("slow")).paused).toBe(false);
    const first = await schedules.trigger("slow", 'k"1');
    expect(first.created).toBe(true);
    expect(await schedules.trigger("slow", 'k"1')).toEqual({ ...first, created: false });
    const to = new Date("2026-01-01T00:00:00Z");
    const seen = await schedules.backfill("slow", { from, to, dryRun: true });
    expect([seen.slots.length, seen.started]).toEqual([4, 0]);
    expect((await schedules.backfill("slow", { from, to })).started).toBe(4);
    expect((await schedules.backfill("slow", { from, to })).existing).toBe(4);
  });

  it("are checked, and replaced by version", async () => {
    const once = at(new Date("2100-01-01T00:00:00Z"), { until: new Date("2101-01-01T00:00:00Z") });
    expect((await schedules.put("once", once, workflow, { of: "x" }, { dryRun: true })).next).toHaveLength(1);
    const { version } = await schedules.put("once", once, workflow, { of: "x" }, { version: 0, paused: true });
    await expect(schedules.put("once", once, workflow, { of: "x" }, { version: 0 })).rejects.toMatchObject({
      code: "precondition-failed",
    });
    await schedules.put("once", once, workflow, { of: "x" }, { version });
    await expect(schedules.put("bad", cron("61 * * * *"), workflow, { of: "x" })).rejects.toMatchObject({
      code: "invalid-request",
    });
    // @ts-expect-error - the payload is that of the workflow
    void (() => schedules.put("typed", once, workflow, { off: "x" }));
  });

  it("have no time in other runs", () => {
    for (const idempotencyKey of ["k", "digest@now-2026", "a@b"]) {
      expect(scheduledAt({ idempotencyKey })).toBeUndefined();
    }
    expect(scheduledAt({ idempotencyKey: "a@2026-01-01T00:00:00.500Z" })).toEqual(new Date("2026-01-01T00:00:00.500Z"));
  });
});
