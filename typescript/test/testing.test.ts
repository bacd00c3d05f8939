import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";
import { endpoints, RefusedError } from "../src/index.ts";
import { type DevServer, startDevServer } from "../src/testing.ts";

// Servers are started, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const command = inject("atomicCommand");
const BEGIN = new Date("2026-01-01T00:00:00Z");
const HOUR_MS = 3_600_000;

const mails: string[] = [];
const app = endpoints({ waitMs: 200, secrets: ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"] });
const mail = app.step("mail", (text: string) => mails.push(text));
const approve = app.workflow("approve", async (ctx, what: string) => {
  await ctx.step(mail, `please approve ${what}`);
  const answer = await ctx.event<{ by: string }, null>("approval", { deadline: "1d", default: null });
  if (answer !== null) return `approved by ${answer.by}`;
  await ctx.step(mail, "do not forget");
  await ctx.sleep("2d");
  return "withdrawn";
});
const failing = app.workflow("failing", async (ctx, _: null) =>
  ctx.step(broken, null, { retry: { count: 2, backOff: "6h" } }),
);
const broken = app.step("broken", (): string => {
  throw new TypeError("no luck");
});

describe("a server in virtual time", () => {
  let server: DevServer;
  let url: string;

  beforeAll(async () => {
    // Without the server of ATOMIC_URL, which has a time of its own.
    vi.stubEnv("ATOMIC_URL", "");
    server = await startDevServer({ command, virtualTime: BEGIN, clientId: "ts-time" });
    ({ url } = await server.serve(app));
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    mails.length = 0;
    await server.reset();
  });

  it("moves its time when it is told to", async () => {
    expect(await server.now()).toEqual(BEGIN);
    expect(await server.next()).toBeUndefined();
    const key = randomUUID();
    const run = await server.client().start(approve.at(url), "offer 7", { key, timeout: 0 });
    expect(await server.advance("23h")).toEqual(new Date(BEGIN.getTime() + 23 * HOUR_MS));
    expect(mails).toEqual(["please approve offer 7"]);
    expect(await server.next()).toEqual(new Date(BEGIN.getTime() + 24 * HOUR_MS));
    await server.advance({ hours: 2 });
    expect(mails).toEqual(["please approve offer 7", "do not forget"]);
    const { root } = await server.until(run);
    expect(root.response).toBe("withdrawn");
    expect(await server.now()).toEqual(new Date(BEGIN.getTime() + 72 * HOUR_MS));
  });

  it("waits for a state of a step, and takes an event", async () => {
    const key = randomUUID();
    const run = await server.client().start(approve.at(url), "it", { key, timeout: 0 });
    await server.untilStep(`${run.id}`, { status: ["waiting"] });
    await server.client().signal({ workflowName: "approve", key, name: "approval" }, { by: "ada" });
    expect((await server.until(run.runId)).root.response).toBe("approved by ada");
    expect(await server.now()).toEqual(BEGIN);
  });

  it("says what it did not come to", async () => {
    const run = await server.client().start(approve.at(url), "it", { key: randomUUID(), timeout: 0 });
    const refused = await server.until(run, { within: "1h" }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RefusedError);
    expect(refused).toMatchObject({ code: "time-not-reached", status: 408 });
  });

  it("moves time by itself when it is asked to", async () => {
    await server.auto();
    const started = server.client().start(failing.at(url), null, { key: randomUUID() });
    await expect(started).rejects.toMatchObject({ code: "step-failed", failure: { lastErrorType: null } });
    expect((await server.now()).getTime()).toBeGreaterThanOrEqual(BEGIN.getTime() + 12 * HOUR_MS);
  });

  it("goes on after a crash", async () => {
    const run = await server.client().start(approve.at(url), "it", { key: randomUUID(), timeout: 0 });
    await server.advance("1h");
    await server.crash();
    expect((await server.until(run)).root.response).toBe("withdrawn");
    expect(mails).toEqual(["please approve it", "do not forget"]);
  });

  it("makes faults by a seed, and counts them", async () => {
    await server.faults({ "double-call": 1 }, 7);
    const run = await server.client().start(approve.at(url), "it", { key: "twice", timeout: 0 });
    expect((await server.until(run)).root.response).toBe("withdrawn");
    const { made, seed, profile } = await server.faults();
    expect(mails.length).toBeGreaterThan(2);
    expect([seed, profile]).toEqual([7, null]);
    expect(made["double-call"]).toBeGreaterThan(2);
    await server.reset();
    expect((await server.faults()).profile).toBe("calm");
  });

  it("is used by another test that knows its URL, and left as it was", async () => {
    {
      await using same = await startDevServer({ url: server.url, virtualTime: true, faults: "hostile", seed: 3 });
      expect((await same.faults()).profile).toBe("hostile");
    }
    expect((await server.faults()).profile).toBe("calm");
    expect(await server.now()).toEqual(BEGIN);
  });
});

describe("the start of a server", () => {
  it("takes faults and a seed, and leaves no process", async () => {
    vi.stubEnv("ATOMIC_URL", "");
    const server = await startDevServer({ command, faults: "flaky", seed: 42 });
    expect(await server.faults()).toMatchObject({ profile: "flaky", seed: 42 });
    const served = await server.serve(app);
    const processes = (): string =>
      execFileSync("ps", ["-ww", "-o", "args", "--ppid", `${process.pid}`], { encoding: "utf8" });
    expect(processes()).toContain("--faults-seed 42");
    await server.close();
    expect(processes()).not.toContain("--faults-seed 42");
    await expect(fetch(served.url)).rejects.toThrow();
    await expect(fetch(server.url)).rejects.toThrow();
  });

  it("says what to install where there is no server", async () => {
    vi.stubEnv("ATOMIC_URL", "");
    await expect(startDevServer({ command: "/nowhere/atomic" })).rejects.toThrow(
      "There is no /nowhere/atomic: `pip install 'path/to/checkout[server]'`",
    );
    vi.stubEnv("ATOMIC_COMMAND", "");
    vi.stubEnv("PATH", "/nowhere");
    await expect(startDevServer()).rejects.toThrow("There is no `atomic` on the PATH: `pip install");
    vi.unstubAllEnvs();
  });

  it("says what a server said that did not start", async () => {
    vi.stubEnv("ATOMIC_URL", "");
    await expect(startDevServer({ command, seed: -1 })).rejects.toThrow(/did not start:\n.*seed/s);
  });

  it("refuses a server whose time is real", async () => {
    const url = inject("atomicUrl");
    await expect(startDevServer({ url, virtualTime: true })).rejects.toThrow("atomic serve --dev --virtual-time");
  });
});

it("is all that needs Node", () => {
  const folder = new URL("../src/", import.meta.url);
  const needing = readdirSync(folder).filter((name) =>
    /^import (?!type).* from "node:/m.test(readFileSync(new URL(name, folder), "utf8")),
  );
  expect(needing).toEqual(["dev_process.ts", "dev_server.ts"]);
});
