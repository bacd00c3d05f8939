import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { Atomic, endpoints } from "../src/index.ts";
import { Records } from "../src/records.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const app = endpoints();
const work = app.step("work", () => "done");

describe("records", () => {
  let server: DevServer;
  let url: string;

  beforeAll(async () => {
    vi.stubEnv("ATOMIC_URL", "");
    server = await startDevServer({ command: inject("atomicCommand"), clientId: "ts-records" });
    ({ url } = await server.serve(app));
  });

  afterAll(() => server.close());

  it("erases runs, and the audit log knows of it", async () => {
    const options = { url: server.url, clientId: "ts-records" };
    const records = new Records(options);
    const atomic = new Atomic(options);
    const live = await atomic.start(work.at(url), null, { key: "live", delay: "1h", timeout: 0 });
    await expect(records.erase(live.runId)).rejects.toMatchObject({ code: "run-live" });
    await atomic.cancel(live.runId);
    await records.erase(live.runId);
    await expect(records.erase(live.runId)).rejects.toMatchObject({ code: "not-found" });
    await expect(atomic.get(live.runId)).rejects.toMatchObject({ code: "not-found" });

    const acts = await records.audit();
    expect(acts.map(({ action, status }) => [action, status])).toEqual([
      ["eraseRun", 404],
      ["eraseRun", 200],
      ["cancelRun", 200],
      ["eraseRun", 409],
    ]);
    expect(acts[0]).toMatchObject({ target: { runId: live.runId }, by: null, byKind: "anybody" });
    expect(await records.audit({ limit: 1 })).toEqual(acts.slice(0, 1));
    expect(await records.audit({ action: "cancelRun", since: new Date(0) })).toEqual(acts.slice(2, 3));
    expect(await records.audit({ before: new Date(0) })).toEqual([]);
    expect(await records.audit({ by: "k1" })).toEqual([]);
    await expect(records.audit({ action: "cancel run" })).rejects.toMatchObject({ status: 400 });
  });
});
