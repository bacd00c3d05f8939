import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { Atomic, endpoints, RefusedError } from "../src/index.ts";
import {
  applySchedules,
  at,
  cron,
  every,
  lastScheduledAt,
  Schedules,
  schedule,
  scheduledAt,
} from "../src/schedules.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const BEGIN = new Date("2026-01-01T00:00:30Z");
const times: (Date | undefined)[] = [];
const before: (Date | undefined)[] = [];
const app = endpoints({ waitMs: 200 });
const digest = app.workflow("digest", async (ctx, what: { of: string }) => {
  times.push(scheduledAt(ctx));
  before.push(lastScheduledAt(ctx));
  return what.of;
});
const told: unknown[] = [];
const plain = app.step("plain", (_: null, call) => {
  told.push([scheduledAt(call), lastScheduledAt(call)]);
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
    expect(before).toEqual([undefined, ...began.slice(0, 3)]);
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
    const made = await schedules.backfill("slow", { from, to });
    expect(made.started).toBe(4);
    const there = await schedules.backfill("slow", { from, to, dryRun: true });
    expect(there.slots.map(({ runId }) => runId)).toEqual(made.slots.map(({ runId }) => runId));
    expect([there.started, there.existing]).toEqual([0, 4]);
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

  it("tell a step, and a run that was triggered, its time", async () => {
    const { url } = workflow;
    const step = plain.at(url.slice(0, url.lastIndexOf("/")));
    await schedules.put("daily", cron("@daily", { until: new Date("2026-01-01T12:00:00Z") }), step, null, {
      paused: true,
    });
    const { runId } = await schedules.trigger("daily", "2026");
    const atomic = new Atomic({ url: server.url, clientId: "ts-schedules" });
    await atomic.wait(`${runId}-root`);
    const { run } = await atomic.get(runId);
    expect(told).toEqual([[new Date((run as unknown as { scheduledAt: string }).scheduledAt), undefined]]);
    // A key alone is no time.
    await atomic.start(step, null, { key: "daily@2026-01-01T00:00:00Z" });
    expect(told[1]).toEqual([undefined, undefined]);
  });

  it("are declared beside their workflow, and applied again and again", async () => {
    const declared = [
      schedule(digest, cron("0 8 * * *"), { of: "a" }, { retry: 3 }),
      schedule(digest, every("1d"), { of: "b" }, { name: "other", paused: true }),
    ];
    // @ts-expect-error - the payload is that of the workflow
    void (() => schedule(digest, every("1d"), { off: "b" }));
    const { url } = workflow;
    const folder = url.slice(0, url.lastIndexOf("/"));
    const names = async (): Promise<string[]> => (await schedules.list()).map(({ name }) => name);
    const known = await names();
    expect((await applySchedules(schedules, folder, declared, { dryRun: true })).map(({ name }) => name)).toEqual([
      "digest",
      "other",
    ]);
    expect(await names()).toEqual(known);
    const [first, other] = await applySchedules(schedules, `${folder}/`, declared);
    expect(first).toMatchObject({ name: "digest", start: { stepInvokeUrl: url, payload: { of: "a" } } });
    expect([other?.paused, other?.start.payload]).toEqual([true, { of: "b" }]);
    const again = await applySchedules(schedules, folder, declared);
    expect(again[0]).toMatchObject({ next: first?.next, createdAt: first?.createdAt });
    expect(await names()).toEqual([...new Set([...known, "digest", "other"])].sort());
    const twice = [...declared, schedule(digest, every("2d"), { of: "c" })];
    await expect(applySchedules(schedules, folder, twice)).rejects.toThrow("two schedules are named 'digest'");
  });
});
