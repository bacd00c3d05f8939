import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { Atomic, endpoints } from "../src/index.ts";
import { type ExportFilter, Records } from "../src/records.ts";
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

  it("keeps runs of a workflow for fewer days", async () => {
    const options = { url: server.url, clientId: "ts-retentions" };
    const records = new Records(options);
    expect(await records.retentions()).toEqual([]);
    const beat = await records.setRetention("heart/beat", 1);
    expect(beat).toMatchObject({ workflowName: "heart/beat", retentionDays: 1 });
    expect(await records.retentions()).toEqual([beat]);
    await expect(records.setRetention("heart/beat", 1e6)).rejects.toMatchObject({ status: 400 });
    expect((await records.clearRetention("heart/beat")).retentionDays).toBe(30);
  });

  it("exports runs, a step after the other", async () => {
    const options = { url: server.url, clientId: "ts-exports" };
    const [records, atomic] = [new Records(options), new Atomic(options)];
    for (const customer of ["c-1", "c-2"]) {
      await atomic.start(work.at(url), { customer }, { key: customer, tags: { customer, env: "test" } });
    }
    const exported = async (filter?: ExportFilter): Promise<unknown[]> => {
      const found: unknown[] = [];
      for await (const step of records.export(filter)) {
        found.push([step.idempotencyKey, step.payload, step.response]);
      }
      return found;
    };
    const [first, second] = ["c-1", "c-2"].map((customer) => [customer, { customer }, "done"]);
    expect(await exported()).toEqual([second, first]);
    expect(await exported({ tag: ["customer:c-1", "env:test"], status: "succeeded" })).toEqual([first]);
    expect(await exported({ keyPrefix: "none" })).toEqual([]);
    await expect(exported({ createdAfter: "tomorrow" })).rejects.toThrow(/^createdAfter: /);
  });

  it("follows the pages of an export", async () => {
    const lines = [`{"id":"a","payload":"\u2028"}\n{"id":"b"}\n`, `{"id":"c"}\n`, ""];
    const asked: string[] = [];
    const fetch = async (input: unknown): Promise<Response> => {
      asked.push(String(input));
      const link = asked.length < lines.length ? `</me/export?cursor=${asked.length}>; rel="next"` : "";
      return new Response(lines[asked.length - 1], { headers: { link } });
    };
    const ids: string[] = [];
    for await (const { id } of new Records({ url: "http://atomic.test", clientId: "me", fetch }).export()) {
      ids.push(id);
    }
    expect(ids).toEqual(["a", "b", "c"]);
    const base = "http://atomic.test/me/export";
    expect(asked).toEqual([`${base}?`, `${base}?cursor=1`, `${base}?cursor=2`]);
  });
});
