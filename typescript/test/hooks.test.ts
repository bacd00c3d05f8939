import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { type HookMessage, Hooks } from "../src/hooks.ts";
import { Atomic, endpoints, RefusedError, StepFailedError } from "../src/index.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const told: HookMessage[] = [];
const app = endpoints({ waitMs: 200 });
const fails = app.workflow("fails", async (_ctx, _: null) => {
  throw new Error("no");
});
const tell = app.step("tell", (message: HookMessage) => {
  told.push(message);
});

describe("hooks", () => {
  let server: DevServer;
  let hooks: Hooks;
  let url: string;

  beforeAll(async () => {
    vi.stubEnv("ATOMIC_URL", "");
    server = await startDevServer({ command: inject("atomicCommand"), virtualTime: true, clientId: "ts-hooks" });
    url = (await server.serve(app)).url;
    hooks = new Hooks({ url: server.url, clientId: "ts-hooks" });
  });
  afterAll(() => server.close());

  it("tell an endpoint of the end of a run", async () => {
    const at = tell.at(url).url;
    const put = await hooks.put("pager", at, ["run.failed"], { workflowName: "fails" });
    expect(put).toEqual({ name: "pager", url: at, on: ["run.failed"], workflowName: "fails" });
    const atomic = new Atomic({ url: server.url, clientId: "ts-hooks" });
    await expect(atomic.start(fails.at(url), null, { key: "k", retry: 0 })).rejects.toThrow(StepFailedError);
    await vi.waitFor(() => expect(told).toHaveLength(1), { timeout: 20_000 });
    expect(told[0]).toMatchObject({ event: "run.failed", hook: "pager", workflowName: "fails", generation: 1 });
  });

  it("of a start tell of its run", async () => {
    const atomic = new Atomic({ url: server.url, clientId: "ts-hooks" });
    const hooks = { "run.failed": tell.at(url).url };
    const started = atomic.start(fails.at(url), null, { key: "own", retry: 0, hooks });
    await expect(started).rejects.toThrow(StepFailedError);
    await vi.waitFor(() => expect(told.map(({ hook }) => hook)).toContain("@start"), { timeout: 20_000 });
  });

  it("are read, listed and deleted", async () => {
    await hooks.put("mail", url, ["run.succeeded", "step.failed"]);
    expect((await hooks.list()).map(({ name }) => name)).toEqual(["mail", "pager"]);
    expect((await hooks.get("mail")).workflowName).toBeNull();
    await hooks.delete("mail");
    await expect(hooks.get("mail")).rejects.toThrow(RefusedError);
    await expect(hooks.put("bad", url, [])).rejects.toMatchObject({ code: "invalid-request" });
  });
});
